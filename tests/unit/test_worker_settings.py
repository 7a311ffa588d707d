"""What a supervisor is told, the cores that a process really has, and a clock that is set."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from outlast.target import Target
from outlast.worker.clock_watch import ClockWatch
from outlast.worker.settings import Settings, quota

CORES = "from outlast.worker.settings import cores; print(cores())"


@pytest.mark.parametrize("queues", [None, ("mail", "reports")])
def test_settings_go_from_process_to_process(queues: tuple[str, ...] | None) -> None:
    settings = Settings(
        url="sqlite:////tmp/outlast.db",
        target=Target.of_name("main:app"),
        children=2,
        slots=7,
        queues=queues,
        grace=timedelta(seconds=1.5),
        retention=timedelta(days=30),
        lease=timedelta(milliseconds=1),
        hosted=True,
        log_level="DEBUG",
    )

    assert Settings.from_message(json.loads(json.dumps(settings.to_message()))) == settings


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no affinity")
def test_a_process_that_is_kept_to_one_core_has_one() -> None:
    code = f"import os; os.sched_setaffinity(0, {{min(os.sched_getaffinity(0))}}); {CORES}"

    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        == "1\n"
    )


@pytest.mark.parametrize(
    ("files", "granted"),
    [
        ({"cpu.max": "200000 100000\n"}, 2),
        ({"cpu.max": "150000 100000\n"}, 2),
        ({"cpu.max": "50000 100000\n"}, 1),
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu/cpu.cfs_quota_us": "300000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 3),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
        ({"cpu.max": "", "cpu/cpu.cfs_quota_us": "100000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 1),
        ({}, None),
    ],
)
def test_a_container_has_the_cores_that_its_quota_grants(
    tmp_path: Path, files: dict[str, str], granted: int | None
) -> None:
    """Rounded up, by either version of control groups; a container without a limit has none."""
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)

    assert quota(tmp_path) == granted


def test_a_clock_that_is_set_is_noticed_once() -> None:
    """By how much, either way; time that passes is no jump."""
    watch = ClockWatch(1_000_000_000, 50.0)

    assert watch.jump(1_001_000_000, 51.0) == 0.0
    assert watch.jump(4_602_000_000, 52.0) == pytest.approx(3600.0)
    assert watch.jump(4_603_000_000, 53.0) == 0.0
    assert watch.jump(1_004_000_000, 54.0) == pytest.approx(-3600.0)
    assert watch.jump(1_005_000_000, 55.0) == 0.0


def test_a_clock_that_drifts_has_not_jumped() -> None:
    """Half a second in each of many looks is never two seconds at once."""
    watch = ClockWatch(0, 0.0)

    assert {watch.jump(second * 1_500_000, float(second)) for second in range(1, 100)} == {0.0}
