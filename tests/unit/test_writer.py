"""The thread that writes rows where no supervisor answers: whoever it writes for, the supervisor hears of it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from threading import Event

import pytest

from outlast.premises import Premises
from outlast.store import open_store
from outlast.store.writer import Writer
from tests.rows import row

PATIENCE = timedelta(seconds=10)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'outlast.db'}"


@pytest.fixture
def bell(url: str) -> Iterator[socket.socket]:
    """Where a supervisor would hear it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(Premises(url).socket)
        listener.listen(128)
        listener.setblocking(False)
        yield listener
    Path(Premises(url).socket).unlink()


@pytest.fixture
def writer(url: str) -> Iterator[Writer]:
    writer = Writer(url)
    yield writer
    writer.close()


def test_once_rows_are_written_the_bell_rings(writer: Writer, bell: socket.socket) -> None:
    """Break it: leave out `_tell`."""
    writer.commit([row(0)], timeout=PATIENCE)
    writer.close()

    assert rings(bell) == 1


def test_what_is_written_together_is_told_once(writer: Writer, bell: socket.socket, url: str) -> None:
    """Break it: ring in `commit` for each."""
    go = Event()
    writer.post(lambda _: go.wait())
    written = [writer._hand_over([row(0)]) for _ in range(20)]
    go.set()
    for each in written:
        each.result(PATIENCE.total_seconds())
    writer.close()

    assert rings(bell) == 1
    store = open_store(url)
    assert store.counts()["ready"] == 20
    store.close()


def rings(bell: socket.socket) -> int:
    """How often it has rung."""
    count = 0
    while True:
        try:
            bell.accept()[0].close()
        except BlockingIOError:
            return count
        count += 1
