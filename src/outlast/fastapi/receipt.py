"""Receipt: the jobs of one request, from `add_task` to the commit or the discard, and what is added after that.

It is open until the response starts. Whoever sees the request fail marks it; committing is the door's work.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from outlast import request_id, sessions
from outlast.fastapi.owners import owned, owned_in_thread
from outlast.handle import Job
from outlast.job import NewJob, described, new_id
from outlast.task import OF_REQUEST, Call

if TYPE_CHECKING:
    from fastapi import BackgroundTasks as PlainTasks
    from starlette.types import Scope

    from outlast.fastapi.inline import Turn
    from outlast.fastapi.queue import TaskQueue
    from outlast.fastapi.snapshots import Snapshot
    from outlast.fastapi.tasks import BackgroundTasks

KEY = "outlast.receipt"
"""Where a request's scope keeps it."""
current: ContextVar[Receipt | None] = ContextVar("outlast_receipt", default=None)
"""The receipt of the request that the running code belongs to: for BackgroundTasks made by hand."""
_log = logging.getLogger("outlast.request")


class Unsolved(NamedTuple):
    """An argument that a job lacks until its request has solved it."""

    place: int
    """Of the job among those of its request."""
    call: Call[..., Any]
    name: str
    snapshot: Snapshot


class Receipt:
    """The jobs of one request. There is one for every request, so it is kept small."""

    __slots__ = (
        "_request_id",
        "entries",
        "failure",
        "inner",
        "is_over",
        "jobs",
        "late",
        "open",
        "owner",
        "plain",
        "queue",
        "scope",
        "session",
        "taken",
        "tasks",
        "turn",
        "undecided",
        "unsolved",
    )

    decided_when: ClassVar[str] = "when the response starts"
    adder: ClassVar[str] = "the request"

    def __init__(self, queue: TaskQueue, scope: Scope) -> None:
        self.queue = queue
        self.scope = scope
        self.inner = scope
        """As its endpoint has it: a middleware may pass a copy on."""
        self.jobs: list[NewJob] = []
        self.unsolved: list[Unsolved] = []
        self.session: Any = None
        """The caller's own, by the dependency that the queue names."""
        self.entries: list[sessions.Entry] = []
        """The jobs that are on a session."""
        self.is_over = False
        """All of the request has unwound, and its session has had its say."""
        self.taken = 0
        self.open = True
        self.undecided = True
        self.failure: BaseException | None = None
        self.tasks: BackgroundTasks | None = None
        self.plain: PlainTasks | None = None
        self.late: Late | None = None
        self.turn: Turn | None = None
        self.owner: str | None = None
        """Whose its jobs are, once that was asked and if it is anybody."""
        self._request_id: str | None = None

    @property
    def request_id(self) -> str:
        """What `X-Request-ID` says, or one of ours; found when it is first asked for: most requests add no job."""
        if self._request_id is None:
            self._request_id = request_id.given(self.scope["headers"]) or new_id()
        return self._request_id

    @property
    def needs_caller(self) -> bool:
        """Whether it is the running code that the response waits for."""
        return self.open and current.get() is self

    def add(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Job:
        """Pack one call now, to be committed when the response starts; at once if it has started.

        With a session of the caller's: when that commits.
        """
        given = func.session if type(func) is Call else OF_REQUEST
        session = sessions.chosen(self.session if given is OF_REQUEST else given, self.queue)
        if session is not None:
            return self._add_on(session, func, args, kwargs)
        if not self.open:
            job = self.queue.prepare(func, args, kwargs)
            return Job(job.id, self.queue, self._add_late(job))
        call, job = self.queue.prepare_open(func, args, kwargs)
        if call.signature.snapshots:
            self._note_unsolved(call, job)
        self.jobs.append(job)
        return Job(job.id, self.queue, self)

    def _add_on(
        self, session: Any, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Job:
        job = self.queue.prepare(func, args, kwargs)
        if job.owner is None:
            job = job._replace(owner=self.owner)
        entry = sessions.Entry(job, self.queue, self, is_ordered=True)
        sessions.add(session, [entry])
        self.entries.append(entry)
        return Job(entry.job.id, self.queue, entry)

    def committed(self, jobs: list[NewJob]) -> None:
        """A session has committed these."""
        if not self.is_over:
            self.queue_up(jobs)
        self.queue.rouse()

    def _note_unsolved(self, call: Call[..., Any], job: NewJob) -> None:
        for name, snapshot in call.signature.unsolved(job.luggage).items():
            self.unsolved.append(Unsolved(len(self.jobs), call, name, snapshot))

    def complete(self, snapshot: Snapshot, value: Any) -> None:
        """Give the jobs that lack it the value of a snapshot. Raises LuggageRefused, LuggageTooLarge."""
        for place, call, name, wanted in self.unsolved:
            if wanted is snapshot:
                job, freight = self.jobs[place], self.queue.freight
                luggage = call.signature.complete(job.luggage, name, value, limit=freight.text_limit)
                self.jobs[place] = freight.loaded(job._replace(luggage=luggage))

    def take(self) -> list[NewJob]:
        """What was added and not taken yet."""
        jobs = self.jobs[self.taken :]
        self.taken += len(jobs)
        return jobs

    def _add_late(self, job: NewJob) -> Late:
        if self.late is None:
            self.late = Late(self)
        self.late.add(job)
        return self.late

    def watch(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        """An exit that the request passes on its way out: what fails before the response starts counts."""
        if error is not None and self.open:
            self.failure = error

    __exit__ = watch  # an exit stack takes an object sooner than a method

    def begin_anew(self) -> None:
        """After a failure that was handled: what the failed code added is discarded, what the handler adds is not."""
        if self.failure is not None:
            self.discard(repr(self.failure))
            self.failure = None
            self.undecided = True

    def discard(self, reason: str) -> None:
        """Give its jobs up, and say which and why."""
        self.undecided = False
        jobs = self.take()
        if jobs:
            self.lost(jobs, f"{self.adder} failed: {reason}")

    def lost(self, jobs: list[NewJob], why: str) -> None:
        """These are never committed: say which, and why."""
        scope = self.scope
        _log.warning(
            "%d job(s) of %s %s discarded, because %s; discarded: %s; request=%s",
            len(jobs),
            scope.get("method", scope["type"]),
            scope["path"],
            why,
            described(jobs),
            self.request_id,
        )

    def queue_up(self, jobs: list[NewJob]) -> None:
        """Inline: have jobs run in the course of this request."""
        if self.turn is None:
            self.turn = self.queue.turn(jobs)
        else:
            self.turn.add(jobs)

    def go_on(self) -> None:
        """The response starts: what is committed runs behind it."""
        if self.entries:
            self.queue.rouse()
        if self.turn is not None and self.plain is not None:
            self.plain.add_task(self.turn)

    async def finish(self) -> None:
        """At the end of everything: wait for what was added late; inline, run what has not had its turn."""
        if len(self.jobs) > self.taken:  # by a thread that found it open while it was being closed
            for job in self.take():
                self._add_late(job)
        if self.late is not None:
            with suppress(Exception):  # it has been logged, and nobody is left to tell
                await self.late.settled()
        if self.turn is not None:
            await self.turn()


class Late:
    """What is added after the response has started, in a WebSocket, or in exit code: each in a commit of its own.

    On the loop a commit is begun at once and waited for by the next message that the request sends, so that nothing
    blocks; in a thread it is waited for on the spot.
    """

    def __init__(self, receipt: Receipt) -> None:
        self._receipt = receipt
        self._waiting: list[NewJob] = []
        self._commits: asyncio.Task[None] | None = None

    @property
    def undecided(self) -> bool:
        """Whether something is still on its way to the store."""
        return bool(self._waiting) or (self._commits is not None and not self._commits.done())

    needs_caller = False
    decided_when: ClassVar[str] = "soon after it was added"

    def add(self, job: NewJob) -> None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return self._commit_here([job])
        self._waiting.append(job)
        if self._commits is None or self._commits.done():
            self._commits = loop.create_task(self._commit_waiting())
        return None

    async def settled(self) -> None:
        """Wait until everything added so far is committed; inline, until it has run. Raises NotConfirmed."""
        if self._commits is not None:
            commits, self._commits = self._commits, None
            await asyncio.shield(commits)

    def _commit_here(self, jobs: list[NewJob]) -> None:
        receipt = self._receipt
        rows = receipt.queue.bind(owned_in_thread(jobs, receipt))
        receipt.queue_up(rows)
        receipt.queue.commit(rows)

    async def _commit_waiting(self) -> None:
        queue = self._receipt.queue
        while self._waiting:
            jobs, self._waiting = self._waiting, []
            rows = queue.bind(await owned(jobs, self._receipt))
            turn = queue.turn(rows)
            try:
                await queue.acommit(rows)
            except Exception:
                _log.exception("not committed: %s; request=%s", described(rows), self._receipt.request_id)
                raise
            if turn is not None:
                await turn.quietly()
