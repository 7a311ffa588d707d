"""Frozen records: a job as it is written, as it is claimed and as it is told; and what one attempt came to.

`NewJob` and `Claimed` are tuples in the order of their columns, because they go to the database and over sockets by
the ten thousand as they are. `JobRecord` and `Attempt` are for people: instants and durations instead of microseconds.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from random import Random
from typing import Any, NamedTuple


class State(StrEnum):
    """Where a job stands. Everything finer (scheduled, retrying, waiting, held) is a view of `queued`."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """Whether a job in this state will not run again by itself."""
        return self in (State.SUCCEEDED, State.FAILED, State.CANCELLED)


class Reason(StrEnum):
    """Why a job failed for good."""

    ERROR = "error"
    TIMEOUT = "timeout"
    CRASH = "crash"
    EXPIRED = "expired"
    POISON = "poison"
    INTERRUPTED = "interrupted"
    RESCUES = "rescues"


class NewJob(NamedTuple):
    """A job as it is first written. Instants and durations are whole microseconds; the order is that of the INSERT."""

    id: str
    task: str
    queue: str
    priority: int
    luggage: str
    files: str | list[Any] | None
    """The names of the stored files that its arguments use, as JSON; None for the many that use none. Until they are
    stored, what they are stored from: `outlast.files.cargo`."""
    context: str | None
    """What travels with it beside its arguments, as JSON: trace, request id, context variables."""
    owner: str | None
    """Whose it is for those who ask over HTTP; None: nobody's."""
    created_at: int
    run_at: int
    """When it may start; equal to `created_at` unless it was delayed."""
    expires_at: int | None
    timeout: int | None
    max_attempts: int
    retry: str | None
    at_most_once: int
    next_id: str | None
    """The job of the same request that may first start once this one has ended its first attempt."""
    waiting: int
    """1 while the job before it has not yet let it go."""
    held_by: str | None
    """The server whose request has not unwound yet."""


class Claimed(NamedTuple):
    """A job as a worker takes it: what it needs to run it, and the fence (`id`, `attempt`)."""

    id: str
    attempt: int
    task: str
    luggage: str
    failures: int
    retry: str | None
    timeout: int | None
    at_most_once: int
    suspect: int
    """1 when a child died with it: it runs alone until cleared."""
    context: str | None
    """What travelled with it beside its arguments."""
    queue: str = "default"
    run_at: int = 0
    """When it was due (µs)."""


def described(jobs: Sequence[NewJob]) -> str:
    """Jobs as a log line names them."""
    return ", ".join(f"{job.task} ({job.id})" for job in jobs)


class Offered(NamedTuple):
    """A job as the relay gets it, to publish: the fence that its message bears, and where it goes."""

    id: str
    attempt: int
    task: str
    queue: str
    priority: int


# ---- outcomes: what one attempt came to ----------------------------------------------------------------------------


class Outcome:
    """What one attempt came to."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Succeeded(Outcome):
    """The task returned. `result` is its value as JSON text; None when it returned None.

    `added` are the jobs that it added, to be committed with its success or not at all.
    """

    result: str | None = None
    added: tuple[NewJob, ...] = ()
    file: str | None = None
    """The stored file that the value lies in, if `result` only stands for it."""


SUCCEEDED = Succeeded()
"""Made once: most successes have nothing to say."""


@dataclass(frozen=True, slots=True)
class Erred(Outcome):
    """The task raised. `again` says whether its policy lets it be tried again; `delay` (µs) overrides the policy's."""

    error: str
    traceback: str
    again: bool = True
    delay: int | None = None


@dataclass(frozen=True, slots=True)
class TimedOut(Outcome):
    """It ran longer than its timeout (µs) and was stopped. `traceback`: where it was."""

    timeout: int
    traceback: str = ""


@dataclass(frozen=True, slots=True)
class Crashed(Outcome):
    """Its child process died under a living supervisor. `alone`: no other job was in that child."""

    detail: str
    alone: bool


@dataclass(frozen=True, slots=True)
class Lost(Outcome):
    """Its worker, or the machine, died. Not held against the job."""


LOST = Lost()


@dataclass(frozen=True, slots=True)
class Released(Outcome):
    """Handed back unharmed: shutdown, a child to be replaced, code that lacks the task. `delay` in µs."""

    note: str | None = None
    delay: int = 0
    begun: bool = True
    """False when the task's code was certainly never entered."""


@dataclass(frozen=True, slots=True)
class Snoozed(Outcome):
    """The task asked to be run later (`delay`, µs)."""

    delay: int


@dataclass(frozen=True, slots=True)
class Stopped(Outcome):
    """Its code was stopped because a cancel was asked for. `traceback`: where it was."""

    traceback: str = ""


class Ended(NamedTuple):
    """The end of one attempt: the fence, and what it came to."""

    id: str
    attempt: int
    outcome: Outcome


# ---- what a running attempt tells ----------------------------------------------------------------------------------


class Line(NamedTuple):
    """One line that an attempt wrote, as it goes to the store."""

    number: int
    """From 1 in each attempt. Lines that were too many to be kept leave a gap."""
    at: int
    """When (µs)."""
    level: int
    """As `logging` numbers it."""
    logger: str
    text: str


class Step(NamedTuple):
    """How far an attempt says it is, as it goes to the store."""

    done: int
    total: int | None
    note: str | None
    at: int
    """When it said so (µs)."""


class Told(NamedTuple):
    """What one attempt has told since it was last heard: the fence, and the newest of each."""

    id: str
    attempt: int
    step: Step | None
    lines: list[Line]


# ---- what people are told ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far the latest attempt of a job says it is."""

    done: int
    total: int | None
    """What `done` is when all is done; None when nobody knows."""
    note: str | None
    """What it is doing, in its own words."""
    at: datetime
    """When it said so."""

    @property
    def share(self) -> float | None:
        """What part is done, from 0 to 1; None when the total is not known."""
        if self.total is None:
            return None
        return min(1.0, self.done / self.total) if self.total else 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """A line that an attempt of a job wrote."""

    attempt: int
    number: int
    """From 1 in each attempt. Lines that were too many to be kept leave a gap."""
    at: datetime
    level: int
    """As `logging` numbers it: 20 for INFO, 40 for ERROR."""
    logger: str
    """The name of the logger; `stdout` for what was printed."""
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRecord:
    """Everything the store knows of a job at one moment."""

    id: str
    task: str
    queue: str
    priority: int
    state: State
    view: str
    """The finer word: scheduled, retrying, waiting, held, published if queued; cancelling if running."""
    attempt: int
    failures: int
    max_attempts: int
    created_at: datetime
    run_at: datetime
    expires_at: datetime | None
    timeout: timedelta | None
    started_at: datetime | None
    finished_at: datetime | None
    cancel_requested_at: datetime | None
    worker: str | None
    result: str | None
    """The value the task returned, as JSON text."""
    reason: Reason | None
    error: str | None
    """One line: the last error."""
    note: str | None
    """Why it was last put back, if it was."""
    luggage: str
    owner: str | None
    """Whose it is for those who ask over HTTP; None: nobody's."""
    progress: Progress | None
    """What its latest attempt said of itself, if it did."""
    engine: str | None = None
    """Whose workers run it, or ran it last: celery, rq, dramatiq; None for Outlast's own."""
    engine_id: str | None = None
    """The id of its last message there."""
    published_at: datetime | None = None
    """When its last message was first given to the engine's broker."""
    published_until: datetime | None = None
    """While its message is under way: when that is taken for lost, and published again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """An attempt that did not succeed, kept with its traceback."""

    job_id: str
    attempt: int
    outcome: str
    error: str
    traceback: str
    worker: str | None
    started_at: datetime | None
    ended_at: datetime


# ---- ids -----------------------------------------------------------------------------------------------------------


class _Ids:
    """UUIDv7 (RFC 9562, section 5.7), never going back in one process: 48 bits of milliseconds, then a counter of 26
    bits begun at random each millisecond (method 1 of section 6.2), then 48 random bits.

    The bits need not be secret, only other than those of other processes: a generator seeded by the system, and anew
    after a fork, gives them without a system call for each.
    """

    def __init__(self) -> None:
        self._begin()
        os.register_at_fork(after_in_child=self._begin)

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._last = 0
        self._counter = 0
        self._bits = Random(os.urandom(32)).getrandbits

    def next(self) -> str:
        with self._lock:
            now = time.time_ns() // 1_000_000
            self._counter += 1
            if now > self._last or self._counter >> 26:
                self._last = max(now, self._last + 1)
                self._counter = self._bits(24)
            millis, counter, rand = self._last, self._counter, self._bits(48)
        return _format(millis, counter, rand)


def _format(millis: int, counter: int, rand: int) -> str:
    high, low = (counter >> 14) & 0xFFF, counter & 0x3FFF
    return f"{millis >> 16:08x}-{millis & 0xFFFF:04x}-7{high:03x}-{0x8000 | low:04x}-{rand:012x}"


new_id = _Ids().next


def is_id(text: Any) -> bool:
    """Whether a text has the shape of a job id."""
    return isinstance(text, str) and len(text) == 36 and text[14:15] == "7" and text.count("-") == 4
