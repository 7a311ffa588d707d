"""What will happen to a job next, in a sentence or two: what `jobs show` ends with. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from outlast.cli.printing import instant, since, span
from outlast.job import JobRecord, State


def forecast(
    job: JobRecord, now: datetime, *, is_paused: bool, is_served: bool, suffix: str = ""
) -> list[str]:
    """What becomes of it by itself, and what stands in its way. `suffix` ends the commands that it names."""
    return [*_course(job, now, suffix), *_obstacles(job, suffix, is_paused=is_paused, is_served=is_served)]


def _course(job: JobRecord, now: datetime, suffix: str) -> Iterator[str]:
    if job.state is State.QUEUED:
        yield from _start(job, now)
    elif job.state is State.RUNNING:
        yield from _end(job, now)
    elif job.state is State.SUCCEEDED:
        yield "Nothing: it is done."
    else:
        yield f"Nothing, unless it is retried by hand: outlast jobs retry {job.id}{suffix}"


def _start(job: JobRecord, now: datetime) -> Iterator[str]:
    if job.view == "held":
        yield "It may start once the request that added it has ended."
    elif job.view == "waiting":
        yield "It starts once the job before it in the same request has ended its first attempt."
    elif job.view in ("scheduled", "retrying"):
        yield f"Attempt {job.attempt + 1} starts {instant(job.run_at, now)}."
    else:
        yield f"Attempt {job.attempt + 1} starts as soon as a worker has a free slot."
    if job.failures:
        yield _failures_left(job)
    if job.expires_at is not None:
        yield f"It fails if it has not started by {instant(job.expires_at, now)}."


def _end(job: JobRecord, now: datetime) -> Iterator[str]:
    if job.cancel_requested_at is not None:
        yield f"It was asked to stop {since(job.cancel_requested_at, now)}, and is cancelled once its code has stopped."
        return
    if job.started_at is not None:
        yield f"Attempt {job.attempt} has been running for {span(now - job.started_at)}."
        if job.timeout is not None:
            yield f"It is stopped if it takes longer than {span(job.timeout)}."
    yield _failures_left(job)


def _failures_left(job: JobRecord) -> str:
    left = job.max_attempts - job.failures
    if left <= 1:
        return "If it fails now, it has failed for good."
    return f"It has failed for good after {left} more failures."


def _obstacles(job: JobRecord, suffix: str, *, is_paused: bool, is_served: bool) -> Iterator[str]:
    if job.state is not State.QUEUED:
        return
    if is_paused:
        yield f"Its queue is paused: outlast queues resume {job.queue}{suffix}"
    if not is_served:
        yield f"No living worker serves queue {job.queue}; start one: outlast worker main:app{suffix}"
