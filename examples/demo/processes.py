"""Which processes there are, and which came from which. Only looks; what is killed is the caller's choice.

A number alone does not name a process, because numbers are used again: a Process is its number and its start.
"""

import subprocess
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Process:
    pid: int
    started: str
    """By the system's own clock, only good to be compared."""


def descendants(pid: int) -> list[Process]:
    """The living processes that come from one, its children before their own."""
    table = _table()
    found, parents = [], {pid}
    while parents:
        children = [process for process, parent in table.items() if parent in parents]
        found += children
        parents = {process.pid for process in children}
    return found


def alive(processes: list[Process]) -> list[Process]:
    """Those that still run."""
    table = _table()
    return [process for process in processes if process in table]


def _table() -> dict[Process, int]:
    """Every process that runs, with the number of its parent. One that has ended and was not waited for is none."""
    if (_PROC / "self" / "stat").exists():
        return dict(row for entry in _PROC.iterdir() if entry.name.isdigit() and (row := _of_proc(entry)))
    listing = ["ps", "-A", "-o", "pid=,ppid=,state=,lstart="]
    rows = subprocess.run(listing, capture_output=True, text=True, check=True).stdout.splitlines()
    return dict(_of_ps(row) for row in rows if not row.split()[2].startswith("Z"))


def _of_proc(entry: Path) -> tuple[Process, int] | None:
    try:
        fields = (entry / "stat").read_text().rpartition(")")[2].split()
    except OSError:  # it has just ended
        return None
    return None if fields[0] in "ZX" else (Process(int(entry.name), fields[19]), int(fields[1]))


def _of_ps(row: str) -> tuple[Process, int]:
    pid, parent, _, started = row.split(maxsplit=3)
    return Process(int(pid), started), int(parent)
