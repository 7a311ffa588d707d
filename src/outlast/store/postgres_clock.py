"""The time as a database tells it, so that machines whose clocks differ agree on what is due and who is alive.

It is measured by connections, once in a while, and told by this process in between, by a clock that never jumps: a
machine whose time of day is wrong, or is set, does no harm.
"""

from __future__ import annotations

from functools import cache

from outlast.clock import SystemClock, steady

_GOOD_FOR = 60.0
"""Seconds until it is measured again: clocks drift apart by a few milliseconds in that time."""


class DatabaseClock:
    """The clock of one database, for the whole process. Until it is measured, it tells the machine's time."""

    def __init__(self) -> None:
        self._offset: int | None = None
        self._measured_at = 0.0

    def now(self) -> int:
        if self._offset is None:
            return SystemClock().now()
        return _steady_micros() + self._offset

    def is_due(self) -> bool:
        """Whether it is to be measured (again)."""
        return self._offset is None or steady() - self._measured_at > _GOOD_FOR

    def measured(self, told: int, asked_at: float) -> None:
        """The database has told its time (µs), when asked at `asked_at`: half of the way ago."""
        now = steady()
        self._offset = told + round((now - asked_at) / 2 * 1e6) - round(now * 1e6)
        self._measured_at = now


def _steady_micros() -> int:
    return round(steady() * 1e6)


@cache
def clock_of(told: str) -> DatabaseClock:
    """The one clock that this process has for a database, by its URL without the password."""
    return DatabaseClock()
