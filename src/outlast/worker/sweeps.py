"""When stored files are looked at, and the look itself: what no job uses any more is deleted.

All of them at the start and each hour, which also finds what was broken off; those of pruned jobs soon after that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from outlast.worker import events

_HOUR = 3600.0
_SOON = 10.0
"""Seconds between looks at the files of pruned jobs: each asks the store which files are used."""


class Sweeps:
    """Says what to look at now."""

    def __init__(self) -> None:
        self._unused: set[str] = set()
        self._all_at = 0.0
        self._some_at = 0.0

    def note(self, names: Iterable[str]) -> None:
        """These may be used by nobody any more."""
        self._unused.update(names)

    def due(self, now: float) -> Iterator[list[str] | None]:
        """What is to be looked at: these names, or None for all that is there. `now` on the steady clock."""
        if now >= self._all_at:
            self._all_at = now + _HOUR
            self._unused.clear()
            yield None
        elif self._unused and now >= self._some_at:
            self._some_at = now + _SOON
            names, self._unused = sorted(self._unused), set()
            yield names


def sweep(look: Callable[[list[str] | None], list[str]], names: list[str] | None) -> None:
    """Look once, by `TaskQueue.sweep_files`. Where files or store cannot be reached, the next look finds the same."""
    try:
        events.files_swept(look(names))
    except Exception as error:  # each storage has its own
        events.sweep_failed(error)
