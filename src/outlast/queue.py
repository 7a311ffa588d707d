"""TaskQueue: what the user holds. It declares tasks, enqueues calls, and asks the store about jobs.

It knows no web framework: `outlast.fastapi` ties it to an app. Getting rows to disk is the writer's work.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager, contextmanager, nullcontext, suppress
from contextvars import ContextVar
from datetime import timedelta
from itertools import count
from typing import Any, ClassVar, ParamSpec, TypeVar, Unpack, cast, overload
from weakref import WeakValueDictionary

from outlast import context as contexts
from outlast import names, request_id, sessions
from outlast.address import is_postgres, shown
from outlast.aliases import Declared, owner_of
from outlast.clock import Clock
from outlast.errors import AppRefused, FileTooLarge, LuggageRefused, OptionRefused, StoreError, TaskRefused
from outlast.files import files_url
from outlast.files.cargo import carries
from outlast.files.freight import Freight
from outlast.handed import Handed, Handover
from outlast.handle import Job
from outlast.job import NewJob
from outlast.luggage import Signature
from outlast.luggage.stand_in import stood_for
from outlast.native import NativeTask
from outlast.options import NO_OPTIONS, CallOptions, GivenOptions, TaskOptions, did_you_mean
from outlast.store import JobFilter, Store, clock_of, store_url
from outlast.store.writer import Writer
from outlast.target import Target, of_caller
from outlast.task import Call, Task, task_of

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

Solve = Callable[[Callable[..., Awaitable[Any]]], Awaitable[tuple[Any, Sequence[NewJob]]]]
"""Solves what a task declares by `Depends`, calls it with that, and says what it returned and which jobs it added."""

WORKERS = ("process", "external", "inline")
"""Who runs the jobs: a worker that the server starts beside itself, one started elsewhere, or the server itself."""
CAPTURES = ("log", "output", "nothing")
"""Which lines are kept with a job: what it logs, that and what it prints, or none."""


class TaskQueue:
    """Durable tasks on one store.

    The environment has the last word: `OUTLAST_STORE` over `store`, `OUTLAST_WORKER` over `worker`, `OUTLAST_FILES`
    over `files`. Nothing is opened
    or started when it is made. Raises OptionRefused, StoreUnusable.
    """

    too_large: ClassVar[type[FileTooLarge]] = FileTooLarge
    """What is raised for a file over `file_limit`."""

    made: ClassVar[Made]
    """Every TaskQueue of this process that is still in use, in the order they were made."""
    dice: Callable[[], float]
    """Throws in [0, 1), by which the retries of what this process runs are spread."""
    teller: Any
    """Where this process runs tasks: what takes what they tell of themselves meanwhile (`outlast.worker.telling`)."""
    loop: asyncio.AbstractEventLoop | None
    """That of the app's lifespan, while it runs: what the app has opened belongs to it."""
    is_switched: bool
    """Whether a test has put it on another store, which stays open when the app's lifespan ends."""

    def __init__(
        self,
        app: Any = None,
        *,
        store: str = "sqlite:///outlast.db",
        worker: str = "process",
        handover: Handover | Mapping[str, Handover | None] | None = None,
        ordered: bool = True,
        payload_limit: int = 1_048_576,
        files: str | None = None,
        file_limit: int | None = None,
        grace: timedelta = timedelta(seconds=8),
        retention: timedelta = timedelta(days=7),
        children: int | None = None,
        slots: int | None = None,
        worker_lifespan: Callable[[Any], AbstractAsyncContextManager[Any]] | None = None,
        context: Iterable[ContextVar[Any]] = (),
        commit_timeout: timedelta = timedelta(seconds=5),
        capture: str = "log",
        owner: Callable[..., Any] | None = None,
        migrate: bool = False,
        session: Callable[..., Any] | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.ordered = ordered
        self.payload_limit = _at_least(1, payload_limit, "payload_limit", "bytes")
        self.file_limit = (
            file_limit if file_limit is None else _at_least(1, file_limit, "file_limit", "bytes")
        )
        files = os.environ.get("OUTLAST_FILES") or files
        self._takes_bulk = files is not None
        self.grace = _not_negative(grace, "grace")
        self.retention = _not_negative(retention, "retention")
        self.children = children if children is None else _at_least(1, children, "children", "processes")
        self.slots = slots if slots is None else _at_least(1, slots, "slots", "jobs at a time")
        self.worker_lifespan = worker_lifespan
        self.context = contexts.Variables(context)
        self.commit_timeout = _not_negative(commit_timeout, "commit_timeout")
        self.owner = owner
        self.capture = _one_of(CAPTURES, capture, "capture")
        self.migrate = migrate and is_postgres(os.environ.get("OUTLAST_STORE") or store)
        self.dice = random.random
        self.teller = None
        self.loop = None
        self.is_switched = False
        self.target: Target = of_caller()
        self.clock: Clock = clock or clock_of(store_url(os.environ.get("OUTLAST_STORE") or store))
        self.handover = _by_queue(handover)
        """What each queue is handed over by; under None, every queue."""
        self._natives = _natives(self.handover.values())
        """The queues of the engines' own tasks, and what hands them over."""
        self._calls: dict[Callable[..., Any], Call[..., Any]] = {}
        self._declared = Declared()
        self._use(os.environ.get("OUTLAST_STORE") or store, os.environ.get("OUTLAST_WORKER") or worker, files)
        self.session = session
        """The dependency whose sessions take the jobs of the requests that use it."""
        if session is not None:
            sessions.require_store(self.url, "TaskQueue(session=…)")
        self.app = app
        self.state: Mapping[str, Any] = {}
        """What the lifespan of this process yielded, as requests see it."""
        if app is not None:
            self._attach(app)
        self.made.add(self)
        for handing in self.handover.values():
            handing.attach(self)
            for name in self.handover:
                handing.know(name or NO_OPTIONS.queue)

    @property
    def handed(self) -> tuple[Handed, ...]:
        """The queues that are handed over, and how."""
        of_natives = (
            Handed(queue=name, engine=each.engine, in_flight=_NATIVES, lease=each.lease, is_native=True)
            for name, each in self._natives.items()
        )
        of_jobs = (
            Handed(queue=name, engine=each.engine, in_flight=each.in_flight, lease=each.lease)
            for name, each in self.handover.items()
        )
        return (*of_natives, *of_jobs)

    def handover_of(self, name: str) -> Handover | None:
        """What the jobs of a queue are handed over by; None where Outlast's own workers run them."""
        return self._natives.get(name) or self.handover.get(None) or self.handover.get(name)

    def _attach(self, app: Any) -> None:
        raise AppRefused(f"this TaskQueue knows no apps, so not {app!r} either; use that of `outlast`")

    def telemetry(self) -> AbstractAsyncContextManager[None]:
        """What a worker enters around the app's lifespan so that its spans are seen."""
        return nullcontext()

    def _use(self, url: str, worker: str, files: str | None = None) -> None:
        self.url = store_url(url)
        self.worker = _one_of(WORKERS, worker, "worker", " (or OUTLAST_WORKER)")
        self._writer = Writer(self.url, clock=self.clock, dice=self.dice)
        self.freight = Freight(
            files_url(files, self.url),
            self.clock,
            payload_limit=self.payload_limit,
            file_limit=self.file_limit,
            takes_bulk=self._takes_bulk,
            too_large=self.too_large,
        )
        self._reader = self._writer if self.is_in_memory else Writer(self.url, clock=self.clock)

    @property
    def is_in_memory(self) -> bool:
        """Whether the store is known to one connection of this process alone."""
        return self.url.endswith(":memory:")

    @property
    def is_open(self) -> bool:
        """Whether this process has asked the store, or written to it, since it was last closed."""
        return self._writer.is_open or self._reader.is_open

    @contextmanager
    def switched(
        self, *, store: str, worker: str, clock: Clock | None = None, dice: Callable[[], float] | None = None
    ) -> Iterator[None]:
        """For tests: another store and another worker for a while, another clock and other dice if given.

        Files lie beside that store, wherever `files` says that they belong. What it has open there is closed at the
        end, and not before: a test looks at jobs when its app has gone.
        """
        before = dict(vars(self))
        self.clock, self.dice = clock or self.clock, dice or self.dice
        self.is_switched = True
        self._use(store, worker)
        try:
            yield
        finally:
            self.close()
            vars(self).update(before)

    # ---- tasks

    @overload
    def task(self, func: Callable[P, R], /) -> Task[P, R]: ...

    @overload
    def task(
        self, /, *, aliases: Iterable[str] = (), **options: Unpack[GivenOptions]
    ) -> Callable[[Callable[P, R]], Task[P, R]]: ...

    def task(
        self, func: Any = None, /, *, aliases: Iterable[str] = (), **options: Unpack[GivenOptions]
    ) -> Any:
        """Make a function a task: `@queue.task`, or with options `@queue.task(queue="mail", max_attempts=8)`.

        `aliases` are names that it had before, `"old_name"` or `"old.module:old_name"`: jobs enqueued under them run
        it, unless a function is still there under that name. Raises OptionRefused, TaskRefused.
        """
        settings = NO_OPTIONS.changed(options)
        if func is None:
            return lambda func: self._declare(func, settings, aliases)
        return self._declare(func, settings, aliases)

    def _declare(self, func: Callable[P, R], settings: TaskOptions, aliases: Iterable[str]) -> Task[P, R]:
        task = task_of(func, self, settings)
        handing = self.handover_of(settings.queue)
        if handing is not None:
            handing.know(settings.queue)
        self._declared.add(names.told_name(func), aliases, [queue._declared for queue in self.made])
        return task

    @classmethod
    def renamed(cls, name: str) -> str | None:
        """The name of today of the task that was called so before, as a TaskQueue of this process was told."""
        return owner_of(name, [queue._declared for queue in cls.made])

    def solve_of(self, func: Callable[..., Any]) -> Solve | None:
        """What solves the dependencies that a function declares; None if it declares none. Raises TaskRefused."""
        depends = Signature.of(func).depends
        if depends:
            raise TaskRefused(
                f"{func.__qualname__}() declares {', '.join(sorted(depends))} by Depends(…), which this TaskQueue "
                "knows nothing of; use that of `outlast`"
            )
        return None

    def options(self, func: Callable[P, R], /, **options: Unpack[CallOptions]) -> Call[P, R]:
        """A function or task with other options for one call. Raises OptionRefused."""
        return self.call_of(func).changed(options)

    def call_of(self, func: Callable[P, R]) -> Call[P, R]:
        """What makes the jobs of a function, a task, or a task with options. Raises TaskRefused."""
        if isinstance(func, Call):
            call = func
        elif isinstance(func, Task):
            call = func.call
        else:
            return self._call_of_plain(func)
        if call.task.queue is not self:
            self._refuse_stranger(call)
        return call

    def _call_of_plain(self, func: Callable[P, R]) -> Call[P, R]:
        try:
            call = self._calls.get(func)
        except TypeError as error:
            raise TaskRefused(f"{func!r} is not a function that a worker could import: {error}") from error
        if call is None:
            call = self._native_call(func)
        if call is None:
            if not callable(func):
                raise TaskRefused(
                    f"{func!r} is not a function; add the function itself, its arguments after it"
                )
            call = task_of(func, self).call
            _ = call.name  # a function that no worker could find is refused, and not remembered
            self._calls[func] = call
        return cast("Call[P, R]", call)

    def _native_call(self, func: Callable[P, R]) -> Call[P, R] | None:
        """That of a function which is a task of an engine's own, where its engine is one that we hand over to."""
        for name, handing in self._natives.items():
            native = handing.native(func)
            if native is not None:
                task: NativeTask[P, R] = NativeTask(native, self, name)
                self._calls[func] = task.call
                return task.call
        return None

    def _refuse_stranger(self, call: Call[..., Any]) -> None:
        """One request commits to one store. A task of another queue on the same store is welcome."""
        if call.task.queue.url != self.url:
            raise TaskRefused(
                f"{call.task!r} belongs to the TaskQueue of {shown(call.task.queue.url)}, not to that of "
                f"{shown(self.url)}; "
                "enqueue it there with `.enqueue()` or `.aenqueue()`"
            )

    # ---- enqueueing

    def enqueue(self, func: Callable[P, Any], /, *args: P.args, **kwargs: P.kwargs) -> Job:
        """Commit one call; on disk when this returns. With a session, when that commits.

        Raises TaskRefused, LuggageRefused, OptionRefused, NotConfirmed.
        """
        self._know_the_time()
        call, job = self._prepared(func, args, kwargs)
        return self._put(call, [job])[0]

    async def aenqueue(self, func: Callable[P, Any], /, *args: P.args, **kwargs: P.kwargs) -> Job:
        """`enqueue` without blocking the loop."""
        await self._aknow_the_time()
        call, job = self._prepared(func, args, kwargs)
        return (await self._aput(call, [job]))[0]

    def enqueue_many(
        self, func: Callable[..., Any], calls: Iterable[Sequence[Any] | Mapping[str, Any]]
    ) -> list[Job]:
        """Commit many calls of one task at once, all or none: for each a tuple of its arguments, or a dict of them.

        They are not ordered among themselves. Raises TaskRefused, LuggageRefused, OptionRefused, NotConfirmed.
        """
        self._know_the_time()
        call = self.call_of(func)
        pack = self._packer(call)
        jobs = [pack(*_arguments(each)) for each in calls]
        _refuse_unsolved(call, *jobs)
        return self._put(call, jobs) if jobs else []

    async def aenqueue_many(
        self, func: Callable[..., Any], calls: Iterable[Sequence[Any] | Mapping[str, Any]]
    ) -> list[Job]:
        """`enqueue_many` without blocking the loop for longer than a few calls take to pack."""
        await self._aknow_the_time()
        call = self.call_of(func)
        pack = self._packer(call)
        jobs = [pack(*_arguments(each)) async for each in _breathing(calls)]
        _refuse_unsolved(call, *jobs)
        return await self._aput(call, jobs) if jobs else []

    def _put(self, call: Call[..., Any], jobs: list[NewJob]) -> list[Job]:
        session = sessions.chosen(call.session, self)
        if session is None:
            self._enqueue(jobs)
            return [Job(job.id, self) for job in jobs]
        entries = [sessions.Entry(job, self, sessions.Outside(self)) for job in jobs]
        sessions.add(session, entries)
        return [Job(entry.job.id, self, entry) for entry in entries]

    async def _aput(self, call: Call[..., Any], jobs: list[NewJob]) -> list[Job]:
        session = sessions.chosen(call.session, self)
        if session is None:
            await self._aenqueue(jobs)
            return [Job(job.id, self) for job in jobs]
        entries = [sessions.Entry(job, self, sessions.Outside(self)) for job in jobs]
        await sessions.aadd(session, entries)
        return [Job(entry.job.id, self, entry) for entry in entries]

    def prepare(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> NewJob:
        """The row of one call, its arguments packed as they are now. Raises TaskRefused, LuggageRefused."""
        return self._prepared(func, args, kwargs)[1]

    def _prepared(
        self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[Call[..., Any], NewJob]:
        call, job = self.prepare_open(func, args, kwargs)
        _refuse_unsolved(call, job)
        return call, job

    def prepare_open(
        self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[Call[..., Any], NewJob]:
        """`prepare` in a request, which solves the snapshots that are missing before the row is committed."""
        call = self._calls.get(func) if type(func) is _FUNCTION else None
        if call is None:
            call = self.call_of(func)
        return call, self._packer(call)(args, kwargs)

    def _packer(self, call: Call[..., Any]) -> Callable[[tuple[Any, ...], dict[str, Any]], NewJob]:
        """What makes the rows of a call that are added here and now."""
        context, now, freight = self._travels(call), self.clock.now(), self.freight
        limit = freight.text_limit
        return lambda args, kwargs: freight.loaded(call.new_job(args, kwargs, context, now=now, limit=limit))

    def _travels(self, call: Call[..., Any]) -> str | None:
        """What travels with the jobs of a call that are added here and now, beside their arguments."""
        return contexts.capture(call.settings.queue, self._request_id(), self.context, self.payload_limit)

    def _request_id(self) -> str | None:
        """That of the request which the running code belongs to."""
        return request_id.current.get()

    def bind(self, jobs: list[NewJob], held_by: str | None = None) -> list[NewJob]:
        """The jobs of one request in their order (P7), held by a server if need be."""
        if len(jobs) == 1 or not self.ordered:
            return jobs if held_by is None else [job._replace(held_by=held_by) for job in jobs]
        return _chained(jobs, held_by)

    def _know_the_time(self) -> None:
        """Ask a database for its time, before a row bears it. One that cannot be asked will refuse the row, too."""
        if self._writer.is_behind():
            with suppress(StoreError):
                self.ask(lambda store: store.workers())

    async def _aknow_the_time(self) -> None:
        if self._writer.is_behind():
            with suppress(StoreError):
                await self.aask(lambda store: store.workers())

    def commit(self, jobs: Sequence[NewJob]) -> None:
        """Store their files, then write rows, all or none, on disk when this returns. Raises NotConfirmed."""
        if carries(jobs):
            jobs = self.freight.stow(jobs)
        self._writer.commit(jobs, timeout=self.commit_timeout)

    async def acommit(self, jobs: Sequence[NewJob]) -> None:
        """`commit` without blocking the loop. What was handed over is written even if nobody waits any more."""
        jobs = await self.astow(jobs)
        await self._writer.acommit(jobs, timeout=self.commit_timeout)

    async def astow(self, jobs: Sequence[NewJob]) -> Sequence[NewJob]:
        """Rows with their files stored, for others to commit. Raises NotConfirmed, LuggageRefused."""
        return await asyncio.to_thread(self.freight.stow, jobs) if carries(jobs) else jobs

    def _enqueue(self, jobs: list[NewJob]) -> None:
        self.commit(jobs)

    async def _aenqueue(self, jobs: list[NewJob]) -> None:
        await self.acommit(jobs)

    def committed(self, jobs: list[NewJob]) -> None:
        """These are in the store, by a commit of the caller's own."""
        self.rouse()

    def rouse(self) -> None:
        """Have workers look for what may be claimed."""
        self._writer.ring()

    # ---- files

    def text(self, text: str, of: str) -> str:
        """What the text in a row stands for, where it lies in a file. Raises FileMissing."""
        return self.freight.text(text, of)

    async def atext(self, text: str, of: str) -> str:
        """`text` without blocking the loop."""
        if stood_for(text) is None:
            return text
        return await asyncio.to_thread(self.freight.text, text, of)

    def sweep_files(self, names: Iterable[str] | None = None) -> list[str]:
        """Delete stored files that no job uses: of these, or of all. Returns which. Blocks. Raises StoreError."""
        return self.freight.sweep(lambda old: self.ask(lambda store: store.files_in_use(old)), names)

    # ---- asking

    def job(self, job_id: str) -> Job:
        """The handle on a job. Whether there is such a job shows when it is read."""
        return Job(job_id, self)

    def ask(self, ask: Callable[[Store], T]) -> T:
        """Read from the store, through a connection that waits for no commit."""
        return self._reader.call(ask)

    async def aask(self, ask: Callable[[Store], T]) -> T:
        """`ask` without blocking the loop."""
        return await self._reader.acall(ask)

    def post(self, ask: Callable[[Store], T]) -> Future[T]:
        """`ask` without waiting; the future tells how it ended."""
        return self._reader.post(ask)

    def tell(self, ask: Callable[[Store], T]) -> T:
        """Have the store do something, on the connection that writes."""
        return self._writer.call(ask)

    async def atell(self, ask: Callable[[Store], T]) -> T:
        """`tell` without blocking the loop."""
        return await self._writer.acall(ask)

    def tell_soon(self, ask: Callable[[Store], T]) -> Future[T]:
        """`tell` without waiting; the future says how it ended."""
        return self._writer.post(ask)

    def cancel(self, job_id: str) -> bool:
        """Cancel a queued job, or ask a running one to stop. False if it has ended. Raises JobNotFound."""
        return self._heard(self.tell(lambda store: _cancel(store, job_id)))

    async def acancel(self, job_id: str) -> bool:
        """`cancel` without blocking the loop."""
        return self._heard(await self.atell(lambda store: _cancel(store, job_id)))

    def retry(self, job_id: str) -> bool:
        """Queue a failed or cancelled job again. False if it is neither. Raises JobNotFound."""
        return self._heard(self.tell(lambda store: _retry(store, job_id)))

    async def aretry(self, job_id: str) -> bool:
        """`retry` without blocking the loop."""
        return self._heard(await self.atell(lambda store: _retry(store, job_id)))

    def _heard(self, touched: bool) -> bool:
        """Tell the worker to look, if something changed."""
        if touched:
            self.ring()
        return touched

    def ring(self) -> None:
        """Tell the workers to look at once for what `tell` has changed."""
        self._writer.ring()

    def close(self) -> None:
        """End its threads. What was handed over is written; used again, it opens again."""
        self._writer.close()
        self._reader.close()
        self.freight.close()

    def __repr__(self) -> str:
        return f"<TaskQueue {shown(self.url)}, worker {self.worker!r}>"


class Made:
    """The queues of a process, for as long as anybody else holds them."""

    def __init__(self) -> None:
        self._numbers = count()
        self._queues: WeakValueDictionary[int, TaskQueue] = WeakValueDictionary()
        self._watchers: list[Callable[[TaskQueue], object]] = []

    def add(self, queue: TaskQueue) -> None:
        self._queues[next(self._numbers)] = queue
        for see in self._watchers:
            see(queue)

    @contextmanager
    def watched(self, see: Callable[[TaskQueue], object]) -> Iterator[None]:
        """Show each queue that is made meanwhile, before anybody uses it."""
        self._watchers.append(see)
        try:
            yield
        finally:
            self._watchers.remove(see)

    def __iter__(self) -> Iterator[TaskQueue]:
        return iter(list(self._queues.values()))


TaskQueue.made = Made()

_FUNCTION = type(lambda: None)
_NATIVES = 10_000
"""Messages of an engine's own tasks that may be under way: those whose end is still to come are among them."""
_BREATH = 200


async def _breathing(calls: Iterable[T]) -> AsyncIterator[T]:
    """The items, with the loop let go now and then."""
    for number, call in enumerate(calls):
        if number % _BREATH == _BREATH - 1:
            await asyncio.sleep(0)
        yield call


def _arguments(call: Sequence[Any] | Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if type(call) is tuple:
        return call, {}
    if isinstance(call, Mapping):
        return (), dict(call)
    if isinstance(call, list):
        return tuple(call), {}
    raise TypeError(f"{call!r} is no call: give a tuple of arguments such as ({call!r},), or a dict of them")


def _refuse_unsolved(call: Call[..., Any], *jobs: NewJob) -> None:
    """Outside a request, or once its response has started, nobody can solve a snapshot."""
    if not jobs or not call.signature.snapshots:  # a call that has made no row need not know its function yet
        return
    for job in jobs:
        for name in call.signature.unsolved(job.luggage):
            raise LuggageRefused(
                f"{call.task.func.__qualname__}() takes {name!r} from the request that adds it, by a snapshot, and "
                f"here is no request whose response has not started; pass it: {name}=…"
            )


def _chained(jobs: list[NewJob], held_by: str | None) -> list[NewJob]:
    """Each undelayed job waits for the undelayed one before it; delayed ones wait for their time alone."""
    rows: list[NewJob] = []
    behind: str | None = None
    for job in reversed(jobs):
        if job.run_at != job.created_at:
            rows.append(job._replace(held_by=held_by))
        else:
            rows.append(NewJob._make((*job[:15], behind, 1, held_by)))
            behind = job.id
    rows.reverse()
    first = next((number for number, job in enumerate(rows) if job.waiting), None)
    if first is not None:
        rows[first] = rows[first]._replace(waiting=0)
    return rows


def _cancel(store: Store, job_id: str) -> bool:
    if store.cancel(JobFilter(ids=(job_id,))):
        return True
    store.get(job_id)  # raises JobNotFound
    return False


def _retry(store: Store, job_id: str) -> bool:
    if store.retry(JobFilter(ids=(job_id,))):
        return True
    store.get(job_id)  # raises JobNotFound
    return False


def _by_queue(
    handover: Handover | Mapping[str, Handover | None] | None,
) -> dict[str | None, Handover]:
    if isinstance(handover, Mapping):
        return {name: each for name, each in handover.items() if each is not None}
    return {} if handover is None else {None: handover}


def _natives(handovers: Iterable[Handover]) -> dict[str, Handover]:
    """Each under the name of its engine; a number tells a second one of the same engine from the first."""
    named: dict[str, Handover] = {}
    for each in dict.fromkeys(handovers):
        names = (each.engine if number == 1 else f"{each.engine}{number}" for number in count(1))
        named[next(name for name in names if name not in named)] = each
    return named


def _at_least(least: int, value: object, name: str, unit: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise OptionRefused(f"{name}={value!r}: give a whole number of {unit}, at least {least}")
    return value


def _one_of(known: tuple[str, ...], value: str, name: str, also: str = "") -> str:
    if value not in known:
        raise OptionRefused(f"{name}={value!r}{also}{did_you_mean(value, known)}")
    return value


def _not_negative(value: object, name: str) -> timedelta:
    if not isinstance(value, timedelta) or value < timedelta(0):
        raise OptionRefused(f"{name}={value!r}: give a timedelta that is not negative")
    return value
