"""What has happened to a job, what happens now, and what comes, in their order. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from outlast.handed import ENTRUSTED
from outlast.job import Attempt, JobRecord, Progress, State
from outlast.wording import span


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing that happened, happens, or will."""

    title: str
    at: datetime | None = None
    kind: str = ""
    """good, bad, busy, ahead; nothing for what just happened."""
    text: str = ""
    progress: Progress | None = None


def timeline(job: JobRecord, attempts: Sequence[Attempt], now: datetime) -> list[Event]:
    """From when it was added to what comes next."""
    return [*_added(job), *_attempts(job, attempts, now), *_state(job, attempts, now)]


def _added(job: JobRecord) -> Iterator[Event]:
    yield Event(title=f"Added to the queue {job.queue}", at=job.created_at)
    if job.view == "held":
        yield Event(title="Held", kind="ahead", text="until the request that added it has ended")
    if job.view == "waiting":
        yield Event(title="Waiting", kind="ahead", text="behind another job of its request")


def _attempts(job: JobRecord, attempts: Sequence[Attempt], now: datetime) -> Iterator[Event]:
    kept = {attempt.attempt: attempt for attempt in attempts}
    for number in range(1, job.attempt + 1):
        if number in kept:
            yield _failed(kept[number], job)
        elif number < job.attempt:
            yield Event(title=f"Attempt {number} was handed back unharmed")
        else:
            yield from _latest(job, now)


def _failed(attempt: Attempt, job: JobRecord) -> Event:
    took = "" if attempt.started_at is None else f" after {span(attempt.ended_at - attempt.started_at)}"
    return Event(
        title=f"Attempt {attempt.attempt} {attempt.outcome}{took}",
        at=attempt.ended_at,
        kind="bad",
        text=attempt.error,
    )


def _latest(job: JobRecord, now: datetime) -> Iterator[Event]:
    """The one that no failure is kept of."""
    if job.started_at is None:
        return
    if job.state is State.RUNNING:
        yield Event(
            title=f"Attempt {job.attempt} runs",
            at=job.started_at,
            kind="busy",
            text=f"started {_late(job)}",
            progress=job.progress,
        )
    elif job.state is State.SUCCEEDED and job.finished_at is not None:
        took = span(job.finished_at - job.started_at)
        yield Event(
            title=f"Attempt {job.attempt} succeeded after {took}",
            at=job.finished_at,
            kind="good",
            text=f"started {_late(job)}",
        )
    elif job.state is State.QUEUED or job.finished_at is None:
        yield Event(title=f"Attempt {job.attempt} was handed back unharmed", text=job.note or "")
    else:
        yield Event(title=f"Attempt {job.attempt} was stopped", at=job.finished_at)


def _late(job: JobRecord) -> str:
    assert job.started_at is not None
    late = job.started_at - job.run_at
    return f"{span(late)} after it was due" if late.total_seconds() > 0 else "when it was due"


def _state(job: JobRecord, attempts: Sequence[Attempt], now: datetime) -> Iterator[Event]:
    if job.view == "cancelling":
        yield Event(title="Asked to stop", at=job.cancel_requested_at, kind="ahead")
    elif job.view in ("scheduled", "retrying"):
        text = f"in {span(job.run_at - now)}"
        yield Event(title=f"Attempt {job.attempt + 1} is due", at=job.run_at, kind="ahead", text=text)
    elif job.view == "published":
        title = f"Attempt {job.attempt + 1} is published"
        text = ENTRUSTED if job.note == ENTRUSTED else f"no worker of {job.engine} has taken it yet"
        yield Event(title=title, at=job.published_at, kind="ahead", text=text)
    elif job.view == "queued":
        title = f"Attempt {job.attempt + 1} starts when a worker has room"
        yield Event(title=title, at=job.run_at, kind="ahead", text=job.note or "")
    elif job.state is State.CANCELLED:
        yield Event(title="Cancelled", at=job.finished_at, kind="bad")
    elif job.state is State.FAILED:
        is_told = bool(attempts) and attempts[-1].error == job.error
        text = "" if is_told else job.error or ""
        yield Event(title=f"Failed for good: {job.reason}", at=job.finished_at, kind="bad", text=text)
