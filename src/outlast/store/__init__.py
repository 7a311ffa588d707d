"""The store keeps jobs. `open_store(url)` gives one; `Store` says what each can do.

A store is synchronous and belongs to one thread: a supervisor calls it from its loop, a server through the thread of
`outlast.store.writer`. It decides nothing about states: it asks `outlast.lifecycle` and writes the answer.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol

from outlast.address import address_of, is_postgres
from outlast.clock import Clock, SystemClock
from outlast.errors import StoreUnusable
from outlast.handed import Handed
from outlast.job import (
    LOST,
    Attempt,
    Claimed,
    Ended,
    JobRecord,
    LogLine,
    NewJob,
    Offered,
    Outcome,
    Progress,
    State,
    Told,
)
from outlast.lifecycle import Ending
from outlast.statistics import Count, Statistics


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildRecord:
    """A child of a worker, as the worker last said."""

    pid: int
    standing: str
    """Starting, ready, leaving, or kept for jobs that run alone."""
    memory: int | None
    """Bytes; None where they cannot be told."""
    jobs: int
    """How many it runs."""
    job_ids: tuple[str, ...]
    """Some of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerRecord:
    """A worker as the store knows it."""

    id: str
    host: str
    premises: str
    """The id of its premises: only who shares them can tell by its lock whether it lives."""
    pid: int
    queues: tuple[str, ...] | None
    """The queues it serves; None for all."""
    slots: int
    started_at: datetime
    lease_until: datetime
    room: int = 0
    """Jobs it can have now, as it says: those it runs and those it could start. Fewer than `slots` while children
    start, are replaced, or are kept for jobs that run alone."""
    unknown: tuple[str, ...] = ()
    """Tasks of queued jobs that its code does not have."""
    is_leaving: bool = False
    """It claims no more by itself."""
    claimed_at: datetime | None = None
    """When it last asked the store for jobs and was answered, or had no room for any, as of its last renewal."""

    children: tuple[ChildRecord, ...] = ()
    seen_at: datetime | None = None
    """When it last said that it lives."""

    handed: tuple[Handed, ...] = ()
    """The queues whose jobs it does not run but publishes to an engine."""
    engine: str | None = None
    """Whose process it is, if it is an engine's: it takes jobs by their messages alone, and serves no queue."""

    def serves(self, queue: str) -> bool:
        """Whether it takes jobs of this queue."""
        return (self.queues is None or queue in self.queues) and self.hands_over(queue) is None

    def hands_over(self, queue: str) -> Handed | None:
        """How it hands this queue over; None if it does not."""
        return next((each for each in self.handed if each.queue in (None, queue)), None)

    def looks_after(self, queue: str) -> bool:
        """Whether it takes jobs of this queue, or hands them over."""
        return self.serves(queue) or self.hands_over(queue) is not None

    @property
    def runs_jobs(self) -> bool:
        """Whether there may be a queue that it serves."""
        if self.queues is None:
            return all(each.queue is not None for each in self.handed)
        return any(map(self.serves, self.queues))


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueRecord:
    """A queue with what lies in it."""

    name: str
    paused_at: datetime | None
    queued: int
    running: int
    failed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Hand:
    """A worker as one job sees it."""

    worker: WorkerRecord
    running: int
    """The jobs it runs."""
    ahead: int
    """The jobs that it would take, or publish, before this one now, `MOST_AHEAD` at most; 0 where it would do neither
    with this one."""


MOST_AHEAD = 10_000
"""Jobs ahead of another are counted up to here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """A job with all that decides whether it can start, at one moment."""

    job: JobRecord
    now: datetime
    is_held: bool
    """By the request that added it."""
    is_waiting: bool
    """The job before it in its request has not let it go."""
    before: JobRecord | None
    """Of the jobs before it in its request, the nearest that has not ended, when it is waiting."""
    is_ready: bool
    """Its time had come when somebody looked: it stays ready though the clock be set back."""
    is_suspect: bool
    """A child died with it: it runs alone."""
    is_paused: bool
    """Its queue is."""
    in_flight: int
    """Messages of its queue that are under way."""
    hands: tuple[Hand, ...]
    """Every worker that the store knows, dead ones too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFilter:
    """Which jobs: every field given must match."""

    state: State | None = None
    queue: str | None = None
    task: str | None = None
    ids: tuple[str, ...] | None = None
    view: str | None = None
    """Of the queued ones, one of `QUEUED_VIEWS`."""
    since: datetime | None = None
    """Added then or later."""
    until: datetime | None = None
    """Added before."""
    text: str | None = None
    """Part of the arguments as they are stored, in small letters or large."""
    error: str | None = None
    """The kind of the last error: what stands before its first colon."""


ALL = JobFilter()
QUEUED_VIEWS = ("ready", "published", "scheduled", "retrying", "waiting", "held")
"""What a queued job may be, by the names of `Store.counts`."""
MOST_COUNTED = 10_000
"""Jobs of one kind that `Store.tally` counts."""


@dataclass(frozen=True, slots=True)
class Found:
    """Some of the jobs that match, newest first."""

    jobs: list[JobRecord]
    next: str | None
    """The id before which to go on: there may be more."""
    is_cut: bool = False
    """Fewer than asked for were found before enough was looked through."""


@dataclass(frozen=True, slots=True)
class Tally:
    """How many jobs are in each view."""

    counts: dict[str, int]
    at_least: frozenset[str]
    """The views that have more than that, or may."""

    def total(self, views: Collection[str]) -> int:
        """How many are in these views together."""
        return sum(self.counts[view] for view in views)

    def is_cut(self, views: Collection[str]) -> bool:
        """Whether there may be more in them."""
        return not self.at_least.isdisjoint(views)


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureGroup:
    """Failed jobs of one task with one kind of error."""

    task: str
    kind: str
    """What stands before the first colon of the error."""
    count: int
    first_at: datetime
    last_at: datetime
    last_id: str
    last_error: str
    """That of the one that failed last."""


@dataclass(frozen=True, slots=True)
class Failures:
    """The groups of what has failed, the newest first."""

    groups: list[FailureGroup]
    is_cut: bool
    """Only the newest of what has ended were looked at: there are too many."""


@dataclass(frozen=True, slots=True)
class Chain:
    """The jobs right before and behind one in its request."""

    before: JobRecord | None
    behind: JobRecord | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Glimpse:
    """Of a job that is being watched: what may have changed."""

    id: str
    state: State
    view: str
    attempt: int
    progress: Progress | None
    last_line: tuple[int, int] | None
    """Attempt and number of the last line of its log."""


LINES = 1000
"""Lines kept of a job's log: the last ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Depth:
    """The jobs of one queue in one view."""

    queue: str
    view: str
    """scheduled, retrying, waiting, held, published, ready or running."""
    jobs: int
    oldest: datetime | None
    """When the one that could start and has been ready for longest was due; None for those that could not."""
    is_paused: bool
    """Whether the queue is."""


class LiveJob(NamedTuple):
    """Of a job that is queued or running: what its code must know to run it."""

    id: str
    task: str
    luggage: str
    is_running: bool


class Settled(NamedTuple):
    """What became of a job whose attempt was settled."""

    id: str
    attempt: int
    ending: Ending | None
    """None when the fence was lost: another attempt has begun, or the job has ended; nothing was written."""
    context: str | None = None
    """What it travels with, where nobody had it in hand: after a rescue, and when it expired."""
    task: str | None = None
    """Of what and where it is a job, where nobody had it in hand."""
    queue: str | None = None


class Pruned(NamedTuple):
    """How many jobs were deleted, and the stored files that they used; others may use them too."""

    jobs: int
    files: list[str]


class Listener(Protocol):
    """Hears what workers and servers on other machines announce."""

    def fileno(self) -> int:
        """Becomes readable when somebody may have announced something, or when the listener was lost."""

    def heard(self) -> bool:
        """Whether somebody has, since it was last asked. Raises StoreError when the listener was lost: close it."""

    def close(self) -> None: ...


class Store(Protocol):
    """What a store can do. Every method may raise StoreError; `transaction` makes several of them one commit."""

    url: str
    clock: Clock

    @property
    def is_older(self) -> bool:
        """Whether an older Outlast made it, and it is only read: some questions have no answer there."""

    # ---- commits

    def transaction(self, *, flush: bool = False) -> AbstractContextManager[None]:
        """Make the calls inside it one commit, all or none. `flush`: on disk before it returns."""

    def flush(self) -> None:
        """Put on disk whatever was committed without a flush (before an at-most-once job starts)."""

    def close(self) -> None: ...

    # ---- machines

    def announce(self) -> None:
        """Tell the workers on other machines to look: after a commit, never within it. Raises StoreError."""

    def listener(self) -> Listener | None:
        """What hears others announce; None where nobody can, or need not. Raises StoreError."""

    # ---- the receipt

    def insert(self, jobs: Sequence[NewJob]) -> None:
        """Write jobs, all or none, flushed unless inside a transaction. Idempotent by id: again, nothing changes."""

    def unhold(self, server: str, ids: Collection[str] | None = None) -> int:
        """Let jobs held by this server start: these ids, or all of them. Returns how many."""

    def holders(self) -> list[tuple[str, int]]:
        """The servers that hold jobs now, each with the time (µs) when its last held job was made."""

    # ---- the worker

    def enter(self, worker: WorkerRecord) -> None:
        """Make a worker known."""

    def renew(self, worker: str, lease: timedelta, *, claimed_at: int | None = None) -> bool:
        """Prolong its lease from now, and say when it last claimed (µs), if it has. False when the store no longer
        knows it (it was taken for dead)."""

    def report(
        self, worker: str, *, room: int, unknown: Collection[str] = (), is_leaving: bool = False
    ) -> None:
        """Write what a worker says of itself, for those who ask why a job does not run."""

    def show_children(self, worker: str, children: Sequence[ChildRecord]) -> None:
        """Write what a worker's children are at, for those who watch."""

    def note_depths(self) -> None:
        """Write how many jobs are queued now, for this minute."""

    def leave(self, worker: str) -> bool:
        """Forget a worker. One that has running jobs left stays known, so that they are rescued: then False."""

    def workers(self) -> list[WorkerRecord]: ...

    def claim(
        self,
        worker: str,
        limit: int,
        *,
        queues: Collection[str] | None = None,
        handed: Collection[str | None] = (),
        unknown: Collection[str] = (),
        unfit: Collection[str] = (),
        alone: bool = False,
    ) -> list[Claimed]:
        """Take up to `limit` jobs that may run now, attempt + 1: by priority (high first), then due time, then order.

        Leaves alone: paused queues, queues not among `queues` (None: all), queues that are `handed` over (None: all),
        jobs whose message is under way, tasks in `unknown`, jobs whose ids are in `unfit`, expired jobs, and jobs under
        suspicion of having killed a child (`alone=True` takes only those). Makes due jobs ready first. A worker that
        the store does not know (never entered, or taken for dead) gets none: nobody would rescue them.
        """

    def claim_one(self, worker: str, job_id: str) -> Claimed | None:
        """Take this job, due or not. None where another thing than time stands in its way, or if it is not queued."""

    def offer(self, handed: Collection[Handed], *, leave: Collection[str] = ()) -> list[Offered]:
        """Mark jobs that may run now as published, and return them to be published: queue by queue, each as a claim
        would take it, up to as many as may be under way.

        What is under way for longer than its lease is offered again, with the same attempt; each time it is given as
        long as it has waited altogether, so that a backlog is not published again and again. Leaves alone: paused
        queues, the queues in `leave`, expired jobs. Makes due jobs ready first.
        """

    def unpublish(self, fences: Collection[tuple[str, int]]) -> None:
        """Take back that messages of these (id, attempt) are under way: they can be offered, or claimed, at once."""

    def entrust(self, job_id: str, attempt: int, until: timedelta, *, note: str) -> None:
        """A message has been given to an engine as a task of its own, whose end it will tell: wait so long from now."""

    def entrusted(self, queue: str, *, limit: int = 1000) -> list[tuple[str, int, str]]:
        """(id, attempt, task) of this queue's messages that are under way, those first that end first."""

    def distrust(self, queue: str) -> int:
        """Take every message of this queue that is under way for lost: its broker may have forgotten it. How many."""

    def claim_published(self, worker: str, job_id: str, attempt: int, *, engine: str) -> Claimed | None:
        """Take the job of a message, if it is queued and this is its next attempt: of many copies one gets it.

        None for a copy too many, and for a job that must not start now: its queue is paused, it has expired, or the
        store does not know the worker. It is then offered again when it may start.
        """

    def suspects(
        self,
        *,
        queues: Collection[str] | None = None,
        handed: Collection[str | None] = (),
        unknown: Collection[str] = (),
        unfit: Collection[str] = (),
    ) -> bool:
        """Whether `claim(…, alone=True)` would find a job."""

    def settle(self, ends: Sequence[Ended]) -> list[Settled]:
        """End attempts, each fenced by (id, attempt, running), and let the jobs behind them go where the end says so.

        Returns one Settled for each, in the same order.
        """

    def keep(self, told: Sequence[Told]) -> None:
        """Write what attempts tell of themselves, each fenced by (id, attempt, running): what was told by one that has
        lost the fence changes nothing. Of a job's lines the last `LINES` are kept. Idempotent."""

    def count(self, counts: Sequence[Count]) -> None:
        """Add what a worker has counted to the statistics; delete those that are too old."""

    def cancels(self, worker: str) -> list[tuple[str, int]]:
        """(id, attempt) of this worker's running jobs that somebody asked to cancel."""

    def running(self, worker: str) -> list[tuple[str, int]]:
        """(id, attempt) of this worker's running jobs, oldest first."""

    def rescue(self, worker: str, outcome: Outcome = LOST) -> list[Settled]:
        """Take over every running job of a dead worker, to which this has happened, and forget the worker."""

    def expire(self) -> list[Settled]:
        """Fail every queued job whose time to be useful is over, and let the jobs behind them go."""

    def next_due(self) -> int | None:
        """When the next delayed or retrying job becomes due (µs), if any."""

    def next_expiry(self) -> int | None:
        """When the next queued job will be too late to be useful (µs), if any."""

    def prune(self, keep: timedelta, *, state: State | None = None, limit: int = 1000) -> Pruned:
        """Delete up to `limit` jobs that ended longer than `keep` ago, with their attempts."""

    def files_in_use(self, names: Collection[str]) -> set[str]:
        """Which of these stored files some job uses."""

    # ---- people

    def get(self, job_id: str) -> JobRecord:
        """One job. Raises JobNotFound."""

    def circumstances(self, job_id: str) -> Circumstances:
        """One job with all that decides whether it can start, read at one moment. Raises JobNotFound."""

    def find(self, which: JobFilter = ALL, *, limit: int = 50, before: str | None = None) -> list[JobRecord]:
        """Jobs that match, newest first; `before` (an id) pages on."""

    def search(self, which: JobFilter, *, limit: int = 50, before: str | None = None) -> Found:
        """`find` at a cost that has a bound, however many jobs there are and however few match; of long arguments only
        the beginning.

        Jobs of a state that few are in are found at once. Else it looks through some of the newest, and says where to
        go on.
        """

    def tally(self, which: JobFilter = ALL) -> Tally:
        """How many jobs are in each view, whatever state the filter has: up to `MOST_COUNTED`, or among the newest."""

    def failures(self) -> Failures:
        """What has failed, by task and kind of error."""

    def slowest(self, *, task: str | None = None, limit: int = 10) -> list[JobRecord]:
        """Of the jobs that ended last, of one task or of all, those whose last attempt took longest."""

    def chain(self, job_id: str) -> Chain:
        """The jobs before and behind this one in its request. Raises JobNotFound."""

    def attempts(self, job_id: str) -> list[Attempt]:
        """The attempts of a job that did not succeed, oldest first, with their tracebacks."""

    def log(self, job_id: str, *, after: tuple[int, int] | None = None, limit: int = LINES) -> list[LogLine]:
        """The last lines that a job wrote, oldest first; with `after` (attempt, number), the first ones behind that."""

    def watch(self, ids: Collection[str]) -> list[Glimpse]:
        """What may have changed of these jobs, in no order. One that is not there is left out."""

    def statistics(
        self, since: datetime, until: datetime | None = None, *, step: timedelta = timedelta(minutes=1)
    ) -> list[Statistics]:
        """What was counted from `since` on, for each step of time, task and queue, oldest first; what counts nothing is
        left out. `step`: whole minutes (known for 48 hours), or whole hours (for 30 days); counted from midnight UTC.
        """

    def totals(self) -> list[Statistics]:
        """What was counted of each task in each queue since the store was made: numbers that only rise."""

    def cancel(self, which: JobFilter) -> list[JobRecord]:
        """Cancel queued jobs at once and ask running ones to stop. Returns those it touched, as they are now."""

    def retry(self, which: JobFilter) -> list[str]:
        """Queue failed and cancelled jobs again, with a clean sheet of failures. Returns their ids. Flushed.

        The attempt number is kept, as are the attempts and the last error; a time to expire that is past is dropped.
        """

    def delete(self, which: JobFilter) -> Pruned:
        """Delete those that have ended, with their attempts. One that others still wait behind stays."""

    def copy(self, job_id: str, new_id: str, luggage: str) -> None:
        """Add a job like this one, to run at once with these arguments. Flushed. Raises JobNotFound."""

    def queues(self) -> list[QueueRecord]: ...

    def past_depths(
        self, since: datetime, *, step: timedelta = timedelta(minutes=1), queue: str = ""
    ) -> dict[datetime, int]:
        """How many jobs were queued at most in each step from then on, in this queue or in all together. A step in
        which no worker was there to count is left out."""

    def summed(
        self, since: datetime, *, step: timedelta = timedelta(minutes=1), task: str | None = None
    ) -> list[Statistics]:
        """`statistics` of all tasks and queues together, or of one task in all queues: one for each step in which
        something was counted. `step`: whole minutes, or whole hours."""

    def summed_by_task(self, since: datetime, *, step: timedelta = timedelta(minutes=1)) -> list[Statistics]:
        """`statistics` of each task in each queue over the whole time since then, as far as it lies in whole steps."""

    def successes(
        self, since: datetime, *, step: timedelta = timedelta(minutes=1)
    ) -> dict[str, dict[datetime, int]]:
        """How many jobs of each task succeeded in each step."""

    def pause(self, queue: str) -> None:
        """Let no job of this queue start until `resume`."""

    def resume(self, queue: str) -> bool:
        """Undo `pause`. False when it was not paused."""

    def ids_like(self, part: str, *, limit: int = 10) -> list[str]:
        """Ids that begin or end with this text. An end is looked for among all of them."""

    def oldest_ready(self) -> JobRecord | None:
        """The job that has been due for longest and that no worker has taken yet, paused or not."""

    def live(self) -> Iterator[LiveJob]:
        """Every job that is queued or running when this begins and still is when its turn comes, in no order."""

    def depths(self) -> list[Depth]:
        """How many jobs of each queue are in each view that is no end, by queue and view; a paused queue has `ready`
        whether or not there are jobs in it."""

    def counts(self) -> dict[str, int]:
        """How many jobs are in each view: scheduled, retrying, waiting, held, published, ready, running, and
        the ended states."""


def store_url(url: str) -> str:
    """The URL as every process names this store, wherever it stands. Raises StoreUnusable for one that names none."""
    if url.startswith("sqlite:"):
        from outlast.store.sqlite_place import name_and_path

        return name_and_path(url)[0]
    if is_postgres(url):
        return address_of(url).url
    raise _nobody_understands(url)


def open_store(
    url: str,
    *,
    clock: Clock | None = None,
    dice: Callable[[], float] = random.random,
    create: bool = True,
    read_only: bool = False,
    even_moved: bool = False,
) -> Store:
    """Open the store of a URL: `sqlite:///relative.db`, `sqlite:////absolute.db`, `postgresql://user@host/base`.

    An SQLite file is made and migrated if need be. With `create=False` one that is not there is an error (a command
    line never creates one). With `read_only=True` it is neither made nor migrated nor written: `live` and `counts` can
    then be asked whatever the age of its schema. A PostgreSQL database is first connected to when it is used, and only
    `outlast migrate` makes tables in it. `even_moved`: also one that only `outlast.store.moving` may open now. Without
    a clock, the store's own; `dice` are thrown for each retry. Raises StoreUnusable with what is wrong and what to do.
    """
    if url.startswith("sqlite:"):
        from outlast.store.sqlite import SQLiteStore

        return SQLiteStore(
            url,
            clock=clock or SystemClock(),
            dice=dice,
            create=create,
            read_only=read_only,
            even_moved=even_moved,
        )
    if is_postgres(url):
        from outlast.store.postgres import PostgresStore

        return PostgresStore(url, clock=clock, dice=dice, read_only=read_only, even_moved=even_moved)
    raise _nobody_understands(url)


def clock_of(url: str) -> Clock:
    """What tells the time to whoever makes rows for this store: the machine's clock, or that of the database."""
    if is_postgres(url):
        from outlast.store import postgres_clock

        return postgres_clock.clock_of(address_of(url).told)
    return SystemClock()


def _nobody_understands(url: str) -> StoreUnusable:
    return StoreUnusable(
        f"no store understands {url!r}; use sqlite:///path/to/outlast.db, or postgresql://user@host/database"
    )
