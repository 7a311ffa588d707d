"""The state machine of a job, pure: no clock, no I/O, no SQL. The drawing is in docs/lifecycle.md; a test compares.

Stores and workers ask `ending` what the end of an attempt makes of a running job, and `TRANSITIONS` what an event may
make of any job. They write what they are told.
"""

from __future__ import annotations

from dataclasses import dataclass

from outlast.job import (
    Crashed,
    Erred,
    Lost,
    Outcome,
    Reason,
    Released,
    Snoozed,
    State,
    Stopped,
    Succeeded,
    TimedOut,
)
from outlast.retry import StoredPolicy

MAX_DEATHS = 3
"""Child deaths after which a job is poison (P6)."""
MAX_RESCUES = 20
"""Deaths of server, supervisor or machine after which a job is given up (P6)."""

TRANSITIONS: dict[str, tuple[frozenset[State], frozenset[State]]] = {
    "claim": (frozenset({State.QUEUED}), frozenset({State.RUNNING})),
    "cancel": (frozenset({State.QUEUED}), frozenset({State.CANCELLED})),
    "expire": (frozenset({State.QUEUED}), frozenset({State.FAILED})),
    "succeed": (frozenset({State.RUNNING}), frozenset({State.SUCCEEDED})),
    "err": (frozenset({State.RUNNING}), frozenset({State.QUEUED, State.FAILED, State.CANCELLED})),
    "release": (frozenset({State.RUNNING}), frozenset({State.QUEUED, State.FAILED, State.CANCELLED})),
    "stop": (frozenset({State.RUNNING}), frozenset({State.CANCELLED})),
    "retry": (frozenset({State.FAILED, State.CANCELLED}), frozenset({State.QUEUED})),
}
"""Each event: the states it may find a job in, and the states it may leave it in.

`err` stands for every failure, `release` for every way back without one, `stop` for the end of code that was asked to
stop. An error or a release that meets a pending cancel ends in `cancelled`, as a stop does."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What the machine must know of a running job."""

    failures: int
    max_attempts: int
    deaths: int
    rescues: int
    retry: str | None
    at_most_once: bool
    cancel_requested: bool


@dataclass(frozen=True, slots=True)
class Ending:
    """What becomes of a job whose attempt has ended."""

    state: State
    failures: int
    deaths: int = 0
    """Child deaths it stands under suspicion for; an ending of any other kind clears it."""
    rescues: int = 0
    reason: Reason | None = None
    wait: int = 0
    """Microseconds until it may run again, when it is queued."""
    opens: bool = True
    """Whether the job behind it may now start (P7)."""
    error: str | None = None
    traceback: str = ""
    note: str | None = None
    result: str | None = None


def ending(job: Standing, outcome: Outcome, dice: float) -> Ending:
    """What the end of a running job's attempt makes of it. `dice` is a throw in [0, 1) for the jitter."""
    if isinstance(outcome, Succeeded):
        return Ending(State.SUCCEEDED, job.failures, result=outcome.result)
    end = _unsuccessful(job, outcome, dice)
    if job.cancel_requested:
        return _cancelled(end)
    if job.at_most_once and end.state is State.QUEUED and not _never_began(outcome):
        return _interrupted(end)
    return end


def expiry(failures: int, deaths: int, rescues: int) -> Ending:
    """What becomes of a queued job whose time to be useful is over."""
    return Ending(
        State.FAILED, failures, deaths, rescues, Reason.EXPIRED, error="expired before it could start"
    )


def _never_began(outcome: Outcome) -> bool:
    return isinstance(outcome, Released) and not outcome.begun


def _unsuccessful(job: Standing, outcome: Outcome, dice: float) -> Ending:
    match outcome:
        case Erred():
            return _failure(
                job,
                Reason.ERROR,
                outcome.error,
                outcome.traceback,
                dice,
                again=outcome.again,
                delay=outcome.delay,
            )
        case TimedOut():
            error = f"timed out after {outcome.timeout / 1e6:g} s"
            return _failure(job, Reason.TIMEOUT, error, outcome.traceback, dice)
        case Crashed():
            return _crash(job, outcome, dice)
        case Lost():
            return _lost(job)
        case Released():
            return Ending(
                State.QUEUED,
                job.failures,
                job.deaths,
                job.rescues,
                wait=outcome.delay,
                opens=False,
                note=outcome.note,
            )
        case Snoozed():
            return Ending(State.QUEUED, job.failures, wait=outcome.delay, note="snoozed by its task")
        case Stopped():
            return Ending(State.QUEUED, job.failures, job.deaths, job.rescues, opens=False, note="stopped")
    raise AssertionError(f"unknown outcome {outcome!r}")


def _failure(
    job: Standing,
    reason: Reason,
    error: str,
    traceback: str,
    dice: float,
    *,
    again: bool = True,
    delay: int | None = None,
    deaths: int = 0,
) -> Ending:
    failures = job.failures + 1
    if not again or failures >= job.max_attempts or job.at_most_once:
        return Ending(State.FAILED, failures, deaths, job.rescues, reason, error=error, traceback=traceback)
    wait = StoredPolicy.from_row(job.retry).wait(failures, dice) if delay is None else delay
    return Ending(State.QUEUED, failures, deaths, job.rescues, wait=wait, error=error, traceback=traceback)


def _crash(job: Standing, crash: Crashed, dice: float) -> Ending:
    """A death with others in the child is nobody's failure yet: the suspects run again, at once and alone."""
    deaths = job.deaths + 1
    if deaths >= MAX_DEATHS:
        error = f"its child process died {deaths} times with it; last: {crash.detail}"
        return Ending(State.FAILED, job.failures + 1, deaths, job.rescues, Reason.POISON, error=error)
    if crash.alone and not job.at_most_once:
        return _failure(job, Reason.CRASH, crash.detail, "", dice, deaths=deaths)
    return Ending(
        State.QUEUED, job.failures, deaths, job.rescues, error=crash.detail, note="runs alone until cleared"
    )


def _lost(job: Standing) -> Ending:
    rescues = job.rescues + 1
    if rescues >= MAX_RESCUES:
        error = f"its worker died {rescues} times under it"
        return Ending(State.FAILED, job.failures, job.deaths, rescues, Reason.RESCUES, error=error)
    return Ending(State.QUEUED, job.failures, job.deaths, rescues, note="rescued from a dead worker")


def _interrupted(end: Ending) -> Ending:
    """An at-most-once job that has begun is never run again, whatever stopped it."""
    why = end.error or end.note or "stopped before its end was known"
    error = f"{why}; at_most_once forbids another attempt"
    return Ending(State.FAILED, end.failures, end.deaths, end.rescues, Reason.INTERRUPTED, error=error)


def _cancelled(end: Ending) -> Ending:
    return Ending(
        State.CANCELLED, end.failures, end.deaths, end.rescues, error=end.error, traceback=end.traceback
    )
