"""What a measured task leaves behind, so that it can be counted and timed from outside. Standard library only: the
environments of other task queues import it too.
"""

from __future__ import annotations

import os
import struct
import time
from pathlib import Path

LATENCIES = "BENCH_LATENCIES"
TALLY = "BENCH_TALLY"
_ENTRY = struct.Struct("<id")
_files: dict[str, int] = {}

now = time.monotonic
"""Seconds on the one clock that all processes of a machine share."""


def latency(began: float) -> None:
    """Note how long ago something began, for a task's first line."""
    _append(LATENCIES, struct.pack("<d", now() - began))


def tally(number: int = 0) -> None:
    """Note that a job has ended, which one, and when."""
    _append(TALLY, _ENTRY.pack(number, now()))


def latencies(file: Path) -> list[float]:
    """What `latency` noted in a file, in seconds."""
    return [seconds for (seconds,) in struct.iter_unpack("<d", _read(file))]


def ends(file: Path) -> list[tuple[int, float]]:
    """What `tally` noted in a file: (job, when), in the order written."""
    return list(_ENTRY.iter_unpack(_read(file)))


def count(file: Path) -> int:
    """How many ends `tally` noted in a file."""
    return file.stat().st_size // _ENTRY.size if file.exists() else 0


def _append(variable: str, entry: bytes) -> None:
    """One write at the end of the file that a variable names: whole, whoever else writes."""
    file = _files.get(variable)
    if file is None:
        file = _files[variable] = os.open(os.environ[variable], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(file, entry)


def _read(file: Path) -> bytes:
    return file.read_bytes() if file.exists() else b""
