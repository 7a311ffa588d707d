"""Locks between processes: held by the living, free the moment their process is gone."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from outlast import locks


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "seat.lock"
    yield path
    locks.release(path)


def test_a_lock_is_free_until_somebody_takes_it(path: Path) -> None:
    assert locks.is_free(path)
    assert not path.exists(), "asking makes no file"

    assert locks.acquire(path)

    assert not locks.is_free(path)
    assert locks.holder(path) == os.getpid()
    assert locks.acquire(path), "who has it has it"


def test_one_process_has_it_and_others_know_which(path: Path) -> None:
    with another(path) as holder:
        assert locks.holder(path) == holder.pid
        assert not locks.acquire(path)


def test_a_killed_process_leaves_it_free(path: Path) -> None:
    with another(path) as holder:
        holder.kill()
        holder.wait()

        assert locks.is_free(path)
        assert locks.acquire(path)


def test_asking_for_a_lock_of_ones_own_does_not_free_it(path: Path) -> None:
    """Closing any descriptor of its file would: it is not opened a second time."""
    locks.acquire(path)

    for _ in range(2):
        assert locks.holder(path) == os.getpid()
        assert said(f"locks.holder(path) == {os.getpid()}, locks.acquire(path)", path) == "True False"


def test_what_is_released_is_free_and_its_file_can_go_with_it(path: Path) -> None:
    locks.acquire(path)
    locks.release(path)
    assert path.exists()
    assert said("locks.acquire(path)", path) == "True"

    locks.acquire(path)
    locks.release(path, remove=True)
    assert not path.exists()
    locks.release(path)


def test_a_fork_has_not_the_lock_of_its_parent(path: Path) -> None:
    """It knows that it has not, cannot take it, and its end does not free it."""
    code = """
locks.acquire(path)
child = os.fork()
if child == 0:
    own = locks.holder(path) == os.getppid() and not locks.acquire(path)
    os._exit(0 if own else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
told = subprocess.run([sys.executable, "-c", ASK, str(path)], capture_output=True, text=True).stdout
print(told.strip() == str(os.getpid()))
"""
    ask = "import sys; from pathlib import Path; from outlast import locks; print(locks.holder(Path(sys.argv[1])))"
    assert run(f"ASK = {ask!r}\n{code}", path) == "True"


@contextmanager
def another(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that has taken the lock."""
    code = "locks.acquire(path); print('taken', flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", IMPORTS + code, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "taken\n"
        try:
            yield process
        finally:
            process.kill()


def said(expression: str, path: Path) -> str:
    """What an expression comes to in another process."""
    return run(f"print({expression})", path)


def run(code: str, path: Path) -> str:
    command = [sys.executable, "-c", IMPORTS + code, str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


IMPORTS = """
import os, subprocess, sys
from pathlib import Path
from outlast import locks
path = Path(sys.argv[1])
"""
