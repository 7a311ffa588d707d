"""The machine that is measured on: what it is, and how long its disk takes to flush."""

from __future__ import annotations

import os
import platform
import sqlite3
import statistics
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

_FLUSHES = 60
_IN_MEMORY = {"tmpfs", "ramfs"}


def flush_time(folder: Path) -> float:
    """Median seconds of an fsync after 4 KiB were appended to a file in this folder."""
    path = folder / "fsync.probe"
    page = b"x" * 4096
    times = []
    with path.open("ab", buffering=0) as file:
        for _ in range(_FLUSHES):
            file.write(page)
            began = time.perf_counter()
            os.fsync(file.fileno())
            times.append(time.perf_counter() - began)
    path.unlink()
    return statistics.median(times)


def in_memory_filesystem(folder: Path) -> str | None:
    """The kind of a folder's file system when it lies in memory, where a flush means nothing; None on a disk."""
    kind = _filesystem(folder)
    return kind if kind in _IN_MEMORY else None


def facts(folder: Path) -> list[str]:
    """What a reader must know to judge the figures: a line each."""
    packages = ("fastapi", "starlette", "pydantic", "uvicorn", "uvloop", "httptools", "outlast")
    return [
        f"{platform.system()} {platform.release()}, {platform.machine()}, {_cores()} cores ({_processor()}), "
        f"{_memory()} memory; stores on {_filesystem(folder) or 'an unknown file system'}",
        f"{platform.python_implementation()} {platform.python_version()}, SQLite {sqlite3.sqlite_version}, "
        + ", ".join(f"{name} {version(name)}" for name in packages)
        + f"; commit {_commit()}",
        f"load average at the start {os.getloadavg()[0]:.2f}",
    ]


def _cores() -> int:
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown"
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else "unknown"


def _memory() -> str:
    return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB"


def _filesystem(folder: Path) -> str | None:
    """The kind of the file system with the longest mount point above a folder (Linux)."""
    try:
        mounts = Path("/proc/mounts").read_text().splitlines()
    except OSError:
        return None
    found, kind = "", None
    for mount in mounts:
        _, point, fs, *_ = mount.split()
        if folder.resolve().is_relative_to(point) and len(point) >= len(found):
            found, kind = point, fs
    return kind


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    try:
        done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip()
