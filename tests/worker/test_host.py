"""The server's side of its worker, where no worker can be started: it says so, and goes on trying."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from outlast.target import Target
from outlast.worker.host import Host
from outlast.worker.settings import Settings
from tests.worker.harness import PATIENCE


def cannot_look(patch: pytest.MonkeyPatch) -> None:
    """A lock file of another user. (The user who runs the tests may be one who may open any file.)"""

    def refused(*_: Any) -> bool:
        raise PermissionError(13, "Permission denied")

    patch.setattr("outlast.locks.is_free", refused)


def cannot_begin(patch: pytest.MonkeyPatch) -> None:
    """No Python there any more, as after an upgrade under a running server."""
    patch.setattr("sys.executable", "/nowhere/python")


@pytest.mark.parametrize(
    ("trouble", "told"),
    [(cannot_look, "another user made"), (cannot_begin, "No such file or directory: '/nowhere/python'")],
)
async def test_a_worker_that_cannot_be_started_is_told_of_and_does_not_fail_the_server(
    trouble: Callable[[pytest.MonkeyPatch], None], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fails if the error ends the host: nobody would hear of it until the server's shutdown, which would fail."""
    (tmp_path / "outlast.db-locks").mkdir()
    trouble(monkeypatch)
    lines = Lines(at_least=2)
    log = logging.getLogger("outlast.worker")
    log.addHandler(lines)
    url = f"sqlite:///{tmp_path / 'outlast.db'}"
    settings = Settings(url=url, target=Target.of_name("main:app"), children=1, slots=1, hosted=True)
    host = Host(settings)
    host.start()
    try:
        async with asyncio.timeout(PATIENCE):
            await lines.there.wait()
    finally:
        await host.astop()
        log.removeHandler(lines)

    assert all("the worker cannot be started" in line and told in line for line in lines.told)
    assert lines.told[0].endswith("trying again at once")
    assert lines.told[1].endswith("trying again in 0.5 s")


class Lines(logging.Handler):
    """What was logged, and an event for when that is enough."""

    def __init__(self, *, at_least: int) -> None:
        super().__init__()
        self.told: list[str] = []
        self.there = asyncio.Event()
        self._at_least = at_least

    def emit(self, record: logging.LogRecord) -> None:
        self.told.append(record.getMessage())
        if len(self.told) >= self._at_least:
            self.there.set()
