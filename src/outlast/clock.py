"""Time as an argument: what the store and the lifecycle ask for the time.

Instants are aware datetimes for users, and whole microseconds since the Unix epoch inside rows, where they are
compared and indexed.
"""

from __future__ import annotations

import re
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_UNITS = {"ms": "milliseconds", "s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


class Clock(Protocol):
    """Tells the time of day, in microseconds since the Unix epoch."""

    def now(self) -> int: ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> int:
        return time.time_ns() // 1000


class ManualClock:
    """A clock that stands still until told: `advance(timedelta(hours=1))`."""

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._now = to_micros(start)

    def now(self) -> int:
        return self._now

    def advance(self, by: timedelta) -> None:
        """Move the clock; a negative `by` moves it back."""
        self._now += span(by)


def to_micros(instant: datetime) -> int:
    """Microseconds since the epoch of an aware datetime. A naive one raises ValueError."""
    if instant.tzinfo is None:
        raise ValueError(f"{instant!r} has no time zone; use datetime.now(UTC) or attach a tzinfo")
    return (instant - _EPOCH) // _MICROSECOND


def to_instant(micros: int) -> datetime:
    """The aware (UTC) datetime of microseconds since the epoch."""
    return _EPOCH + timedelta(microseconds=micros)


def span(duration: timedelta) -> int:
    """A duration in microseconds."""
    return duration // _MICROSECOND


def to_duration(text: str) -> timedelta:
    """The duration that a person wrote: `500ms`, `8s`, `5m`, `1.5h`, `7d`. Raises ValueError for anything else."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", text.strip())
    if found is None:
        raise ValueError(
            f"{text!r} is no duration; write a number and its unit, such as 500ms, 8s, 5m, 2h or 7d"
        )
    try:
        return timedelta(**{_UNITS[found[2]]: float(found[1])})
    except OverflowError:
        raise ValueError(f"{text!r} is longer than any clock counts") from None


def steady() -> float:
    """Seconds on a clock that never jumps and counts the machine's sleep: for leases and deadlines of one machine."""
    return time.clock_gettime(_STEADY) if _STEADY is not None else time.monotonic()


def _steady_clock() -> int | None:
    """Linux: CLOCK_BOOTTIME. macOS: CLOCK_MONOTONIC, which counts sleep there (time.monotonic does not)."""
    if sys.platform == "linux":
        return time.CLOCK_BOOTTIME
    if sys.platform == "darwin":
        return time.CLOCK_MONOTONIC
    return None


_STEADY = _steady_clock()
