"""What a worker shows to those who watch: what its children are at, and, minute by minute, how deep the queues are."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from outlast.store import ChildRecord, Store
from outlast.worker.children import Child

_MINUTE = 60_000_000
_SHOWN = 20
"""Jobs of one child that are named."""
_MEBIBYTE = 1 << 20
_STILL = 10_000_000
"""Microseconds after which a worker says again that it lives, though nothing has changed."""


class Showing:
    """Writes only what has changed: a worker with nothing to do writes little."""

    def __init__(self) -> None:
        self._told: tuple[ChildRecord, ...] = ()
        self._told_at = 0
        self._minute = 0

    def show(self, store: Store, worker: str, children: Iterable[Child]) -> None:
        """Once a round of chores. Raises StoreError."""
        now = store.clock.now()
        told = tuple(_record(child) for child in children)
        if told != self._told or not 0 <= now - self._told_at < _STILL:
            store.show_children(worker, told)
            self._told, self._told_at = told, now
        if now - now % _MINUTE != self._minute:
            self._minute = now - now % _MINUTE
            store.note_depths()


def _record(child: Child) -> ChildRecord:
    return ChildRecord(
        pid=child.pid,
        standing=_standing(child),
        memory=_memory(child.pid),
        jobs=len(child.running),
        job_ids=tuple([*child.running][:_SHOWN]),
    )


def _standing(child: Child) -> str:
    if child.is_leaving:
        return "leaving"
    if not child.is_ready:
        return "starting"
    return "kept for jobs that run alone" if child.is_reserved else "ready"


def _memory(pid: int) -> int | None:
    """Bytes of memory that a process has, in whole MiB, so that it seldom changes; None where nobody tells."""
    with suppress(OSError, ValueError, IndexError):
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") // _MEBIBYTE * _MEBIBYTE
    return None
