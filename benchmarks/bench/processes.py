"""Processes that a measurement starts: each is begun in a session of its own, and ended by its id with all below it.

A worker's supervisor leaves its server's session, so whom to end is read from the tree of processes, not from groups.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
"""The folder `benchmarks/`, in which every process is started: its packages can be imported there."""
_PROC = Path("/proc")
_PATIENCE = 15.0
"""Seconds for a process to end after SIGTERM; above the grace of a worker."""


class Broken(Exception):
    """A process did not do its part; the message has the end of its log."""


@dataclass(frozen=True, slots=True)
class Process:
    """One process: its id, and its start in ticks since the machine's, because ids are used again."""

    pid: int
    began: int

    def command(self) -> list[str]:
        return (_PROC / str(self.pid) / "cmdline").read_text().split("\0")


class Started:
    """A process that was started here, and what it wrote."""

    def __init__(
        self, command: Sequence[str], log: Path, environment: Mapping[str, str], pass_fds: Sequence[int] = ()
    ) -> None:
        self.command = command
        self.log = log
        self.began = time.time()
        with log.open("ab") as output:
            self._popen = subprocess.Popen(
                command,
                cwd=HERE,
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                pass_fds=pass_fds,
            )
        self.pid = self._popen.pid

    def is_alive(self) -> bool:
        return self._popen.poll() is None

    def tree(self) -> list[Process]:
        """This process and all below it."""
        return tree(self.pid)

    def end(self) -> None:
        """Ask it to end, wait, and kill whatever of its tree is left."""
        below = self.tree()
        if self.is_alive():
            self._popen.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._popen.wait(_PATIENCE)
        kill(below)
        self._popen.wait()

    def wait_until(
        self, happened: Callable[[], bool], *, what: str, seconds: float, pause: float = 0.02
    ) -> None:
        """Wait for something that this process is to bring about. Raises Broken when it dies or takes too long."""
        deadline = time.monotonic() + seconds
        while not happened():
            if not self.is_alive():
                raise Broken(
                    f"{' '.join(self.command)} ended with {self._popen.returncode}:\n{self._last_words()}"
                )
            if time.monotonic() > deadline:
                raise Broken(
                    f"{what}: not within {seconds:g} s; last lines of its log:\n{self._last_words()}"
                )
            time.sleep(pause)

    def _last_words(self) -> str:
        return self.log.read_text(errors="replace")[-3000:]


@contextmanager
def started(
    command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None
) -> Iterator[Started]:
    """A process for the length of a `with`."""
    process = Started(command, log, environment or {})
    try:
        yield process
    finally:
        process.end()


def run(command: Sequence[str], environment: Mapping[str, str] | None = None, *, seconds: float = 120) -> str:
    """Run a command of ours to its end and return what it printed. Raises Broken."""
    try:
        done = subprocess.run(
            command,
            cwd=HERE,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise Broken(f"{' '.join(command)} did not end within {seconds:g} s") from None
    if done.returncode != 0:
        raise Broken(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-3000:]}")
    return done.stdout


def has_proc() -> bool:
    """Whether this system tells of its processes as Linux does. Elsewhere a tree is its root alone."""
    return (_PROC / "self" / "stat").exists()


def kill(processes: Sequence[Process]) -> None:
    """SIGKILL to those that still are who they were."""
    now = dict(_all())
    for process in processes:
        if process in now:
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)


def kill_at_once(processes: Sequence[Process]) -> None:
    """SIGKILL to processes that were just now listed and live."""
    for process in processes:
        os.kill(process.pid, signal.SIGKILL)


def tree(pid: int) -> list[Process]:
    """A process and all below it; empty when it is gone or the system does not tell."""
    processes = dict(_all())
    below: dict[int, list[Process]] = {}
    for process, parent in processes.items():
        below.setdefault(parent, []).append(process)
    found = [process for process in processes if process.pid == pid]
    for process in found:  # grows as it goes
        found += below.get(process.pid, [])
    return found


def processor_time(processes: Sequence[Process]) -> float:
    """Seconds that all threads of some processes have run, to the nanosecond; 0 where the system does not tell."""
    stats = [stat for each in processes for stat in _PROC.glob(f"{each.pid}/task/*/schedstat")]
    return sum(int(stat.read_text().split()[0]) for stat in stats) / 1e9


def _all() -> Iterator[tuple[Process, int]]:
    """Every process, with the id of its parent."""
    for stat in _PROC.glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:  # it has just ended
            continue
        yield Process(int(stat.parent.name), int(fields[19])), int(fields[1])
