"""What a worker tells of a store that fails: once when it goes, seldom while it is away, and once when it is back.

It is asked again each second. It is back when the chores have gone well for a second, and all else meanwhile: what
fails again and again while other things go well stays one outage.
"""

from __future__ import annotations

from collections.abc import Callable

from outlast.clock import steady
from outlast.worker import events

_REMIND_AFTER = 60.0
"""Seconds until it is told again; each time twice as many."""
_REMIND_AT_LEAST_EVERY = 3600.0
_WELL_FOR = 0.9
"""Seconds after which it is back: a round of chores, a little early."""


class Outage:
    """What one worker has been through with its store, and has told of it. `now` is a clock that never jumps."""

    def __init__(self, now: Callable[[], float] = steady) -> None:
        self._now = now
        self._since: float | None = None
        self._well_since: float | None = None
        self._pause = _REMIND_AFTER
        self._remind_at = 0.0

    def failed(self, error: Exception) -> None:
        """Something was asked of the store and not done."""
        now = self._now()
        self._well_since = None
        if self._since is None:
            self._since, self._pause = now, _REMIND_AFTER
            events.store_failed(error)
        elif now >= self._remind_at:
            self._pause = min(self._pause * 2, _REMIND_AT_LEAST_EVERY)
            events.store_still_fails(error, now - self._since)
        else:
            return
        self._remind_at = now + self._pause

    def went_well(self) -> None:
        """A round of chores did."""
        if self._since is None:
            return
        self._well_since = self._well_since or self._now()
        if self._now() - self._well_since >= _WELL_FOR:
            events.store_is_back(self._well_since - self._since)
            self._since = self._well_since = None
