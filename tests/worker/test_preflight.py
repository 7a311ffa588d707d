"""Preflight: what `outlast check --against` says of a job is what happens to it, whatever was changed meanwhile.

Jobs are enqueued by a process that has the old code; the command looks at them with the new code; then a real worker
with the new code has them. Broken on purpose, each of these makes tests here fail: in Preflight._reason, catch no
LuggageMisfit; in Binding.fit, take what is missing for given; in Signature.unpack, ask no annotations; in
executor._named, do not ask for generators.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from outlast.job import JobRecord, State
from tests.worker.harness import House
from tests.worker.mutations import MOVED, MUTATIONS, NEW_PRELUDE, OLD_PRELUDE

MODULES = {name: f"change_{number}" for number, name in enumerate(MUTATIONS)}
APP = """
from pathlib import Path

from outlast import TaskQueue, current_job

queue = TaskQueue(store="sqlite:///own.db")


def ran():
    with open(Path(__file__).parent / "ran", "a") as diary:
        diary.write(current_job().id + "\\n")


import {modules}
"""
ENQUEUE = """
import importlib, json, sys
from outlast import TaskQueue

queue = TaskQueue(store=sys.argv[1])
ids = {}
for name, module in json.load(sys.stdin).items():
    module = importlib.import_module(module)
    args, kwargs = module.CALL
    ids[name] = queue.enqueue(module.job, *args, **kwargs).id
print(json.dumps(ids))
"""


class Flight(NamedTuple):
    """What came of each mutation's job, by the id of the job."""

    ids: dict[str, str]
    before: dict[str, Any]
    """What the command said with the old code,"""
    check: dict[str, Any]
    """and with the new."""
    records: dict[str, JobRecord]
    ran: list[str]


@pytest.fixture(scope="module")
def flight(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flight]:
    """All mutations at once, in four processes."""
    house = House(tmp_path_factory.mktemp("flight"))
    try:
        yield _flown(house)
    finally:
        house.close()


def _flown(house: House) -> Flight:
    old = house.folder / "old"
    _write_old(old)
    _write_new(house)
    ids = json.loads(_python(old, "-c", ENQUEUE, house.url, told=json.dumps(MODULES)))
    before, check = _checked(old, house.url), _checked(house.folder, house.url)
    house.worker()
    records = {job: house.reached(job, _is_decided, "has run, or a note") for job in ids.values()}
    return Flight(ids, before, check, records, (house.folder / "ran").read_text().split())


def _write_old(folder: Path) -> None:
    folder.mkdir()
    (folder / "app.py").write_text(APP.replace("import {modules}", ""))
    for name, module in MODULES.items():
        (folder / f"{module}.py").write_text(f"{OLD_PRELUDE}\n{MUTATIONS[name].old}\n")


def _write_new(house: House) -> None:
    """The app imports what has aliases; the rest is found by its name alone."""
    house.write("moved", f"{OLD_PRELUDE}\nclass Form(BaseModel):\n    id: int\n    name: str = ''\n")
    alias = f"@queue.task(aliases=['{MODULES[MOVED]}:job'])\ndef new_place(a):\n    return ran()\n"
    house.write("moved_task", f"{NEW_PRELUDE}\n{alias}")
    imported = ["moved_task"]
    for name, module in MODULES.items():
        new = MUTATIONS[name].new
        if new is not None:
            house.write(module, f"{NEW_PRELUDE}\n{new}\n")
            imported += [module] if "aliases=" in new else []
    house.write("app", APP.replace("{modules}", ", ".join(imported)))


def _python(folder: Path, *words: str, told: str = "") -> str:
    ran = subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        input=told,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert not ran.stderr, ran.stderr
    return ran.stdout


def _checked(folder: Path, url: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        _python(folder, "-m", "outlast", "check", "app:queue", "--against", url, "--json")
    )
    return found


def _is_decided(record: JobRecord) -> bool:
    return record.state.ended or record.note is not None


def _misfits(check: dict[str, Any]) -> dict[str, str]:
    """The ids of the jobs that would not run, with what the command says of each: here each has a task of its own."""
    found = [each for each in check["findings"] if each["level"] == "error"]
    assert all(each["jobs"] == 1 for each in found)
    return {each["example"]: each["text"] for each in found}


def test_with_the_code_that_enqueued_them_all_jobs_fit(flight: Flight) -> None:
    assert flight.before["ok"]
    assert f"{len(MUTATIONS)} queued or running jobs would run" in flight.before["findings"][-1]["text"]


@pytest.mark.parametrize("name", MUTATIONS)
def test_what_the_check_says_is_what_happens(flight: Flight, name: str) -> None:
    """Both ways: what it says would run has run, once; of the rest nothing has run, and the job says what it says."""
    job = flight.ids[name]
    record, told = flight.records[job], _misfits(flight.check).get(job)

    assert (told is None) == MUTATIONS[name].fits
    if told is None:
        assert (record.state, flight.ran.count(job)) == (State.SUCCEEDED, 1)
    else:
        assert (record.state, record.failures, flight.ran.count(job)) == (State.QUEUED, 0, 0)
        why = told.partition("cannot run with this code: ")[2].rpartition("; such as")[0]
        assert (record.note or "").startswith(why)


def test_the_check_fails_if_any_job_would(flight: Flight) -> None:
    assert not flight.check["ok"]
    fit = sum(each.fits for each in MUTATIONS.values())
    assert f"{fit} queued or running jobs would run" in flight.check["findings"][-1]["text"]
