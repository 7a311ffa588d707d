"""What will happen to a job next, in a sentence or two: what `jobs show` ends with. Pure.

Why it is not running now is said by `outlast.explain`, here as everywhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from outlast.cli.printing import instant
from outlast.explain import Explanation, nothing_holds
from outlast.job import JobRecord, State
from outlast.wording import span


def forecast(job: JobRecord, reasons: Sequence[Explanation], now: datetime, *, suffix: str = "") -> list[str]:
    """What it waits for, and what then becomes of it by itself. `suffix` ends the commands that it names."""
    waits = [sentence(each, now, suffix) for each in reasons] or [nothing_holds(job)]
    return [*waits, *_limits(job, now)]


def sentence(reason: Explanation, now: datetime, suffix: str = "") -> str:
    """A reason with when it goes, what was noted, and what to do about it."""
    parts = [reason.text]
    if reason.note is not None:
        parts.append(f"Noted: {reason.note}.")
    if reason.until is not None:
        parts.append(f"Due {instant(reason.until, now)}.")
    if reason.cure is not None:
        parts.append(f"→ {reason.cure}{suffix}")
    return " ".join(parts)


def _limits(job: JobRecord, now: datetime) -> Iterator[str]:
    if job.state is State.RUNNING and job.cancel_requested_at is None:
        if job.timeout is not None:
            yield f"It is stopped if it takes longer than {span(job.timeout)}."
        yield _failures_left(job)
    if job.state is State.QUEUED:
        if job.failures:
            yield _failures_left(job)
        if job.expires_at is not None and job.expires_at > now:
            yield f"It fails if it has not started by {instant(job.expires_at, now)}."


def _failures_left(job: JobRecord) -> str:
    left = job.max_attempts - job.failures
    if left <= 1:
        return "If it fails now, it has failed for good."
    return f"It has failed for good after {left} more failures."
