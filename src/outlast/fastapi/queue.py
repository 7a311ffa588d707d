"""The TaskQueue that users hold: the core one, tied to a FastAPI app.

It puts the door around the app's middlewares, follows its lifespan, and starts the worker beside the server: at the
app's start-up, or at the first commit where no lifespan runs; never when it is made, because servers may fork after.
"""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar
from weakref import WeakKeyDictionary

from anyio import to_thread
from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.types import ASGIApp

from outlast import queue
from outlast.address import is_postgres
from outlast.errors import AppRefused, NotConfirmed, OptionRefused
from outlast.fastapi import telemetry
from outlast.fastapi.audit import audit
from outlast.fastapi.door import Door
from outlast.fastapi.holds import Holds
from outlast.fastapi.inline import Inline, Turn
from outlast.fastapi.owners import owned, owned_in_thread
from outlast.fastapi.receipt import Receipt, current
from outlast.fastapi.sessions import note_sessions
from outlast.fastapi.snapshots import Snapshot
from outlast.fastapi.solving import Solver
from outlast.fastapi.too_large import UploadTooLarge
from outlast.fastapi.watching import Watch
from outlast.files.cargo import carries
from outlast.handle import Job
from outlast.job import NewJob
from outlast.luggage import Signature
from outlast.luggage.binding import has_its_hints
from outlast.options import TaskOptions
from outlast.queue import Solve
from outlast.role import in_worker, is_importing
from outlast.task import Task
from outlast.worker.app import settings_of
from outlast.worker.host import Host

if TYPE_CHECKING:
    from fastapi import APIRouter, Request, Response
    from fastapi.responses import JSONResponse

    from outlast.metrics import Collector

P = ParamSpec("P")
R = TypeVar("R")
_log = logging.getLogger("outlast.request")
_queues: WeakKeyDictionary[FastAPI, TaskQueue] = WeakKeyDictionary()


class TaskQueue(queue.TaskQueue):
    """Durable tasks for a FastAPI app: `queue = TaskQueue(app)`. In a script without an app: `TaskQueue(store=…)`.

    `store` is the URL of the store, `worker` who runs the jobs: "process" (a worker that the server starts beside
    itself), "external" (`outlast worker`, started by you) or "inline" (the server itself). The environment has the last
    word: `OUTLAST_STORE`, `OUTLAST_WORKER`. `ordered=False` lifts the order of a request's jobs. `payload_limit` is in
    bytes. `grace` is what running jobs have at shutdown; finished jobs are kept for `retention`. `children` processes
    run `slots` jobs each at a time. `worker_lifespan` takes the place of the app's lifespan in the worker. `context`
    are context variables whose values travel with each job. Uploads and other files lie at the URL `files`, by default
    in a folder beside the store. Where it is given, it also takes arguments and results over `payload_limit`;
    `OUTLAST_FILES` has the last word. One file may have `file_limit` bytes, any number by default. `commit_timeout`
    bounds the wait for a commit. `session` is the dependency that gives requests their database session: with a
    PostgreSQL store, the jobs of a request that uses it are written in that session's transaction. `migrate=True`
    brings the tables of a PostgreSQL store up to date at start-up, as `outlast migrate` does; an SQLite store always
    is. `capture` says which lines are kept with a job: what it logs ("log"), that and what it prints ("output"), or
    "nothing". `owner` is a dependency that returns the id of whoever makes a request: its jobs are theirs, and `router`
    answers about a job to its owner alone. Raises OptionRefused, StoreUnusable, AppRefused.
    """

    too_large = UploadTooLarge

    inline: Inline | None
    """What runs the jobs in this process, if it is to."""
    holds: Holds
    """The jobs that wait for their request to unwind."""

    def _use(self, url: str, worker: str, files: str | None = None) -> None:
        super()._use(url, worker, files)
        if worker == "process" and self.is_in_memory:
            raise OptionRefused(
                f"store={url!r} with worker='process': a store in memory is known to this process alone; "
                "use worker='inline', or a file"
            )
        self.holds = Holds(self._writer)
        self._carrying: set[asyncio.Task[None]] = set()
        self.inline = Inline(self) if worker == "inline" else None
        self._watch: Watch | None = None
        self._host: Host | None = None
        self._sleeps = worker == "process" and not in_worker()

    # ---- the app

    def _attach(self, app: FastAPI) -> None:
        if not isinstance(app, FastAPI):
            raise AppRefused(
                f"{app!r} is no FastAPI app; give the app itself, not a router or the name of a store: "
                "TaskQueue(app, store=…), or without an app TaskQueue(store=…)"
            )
        if app.middleware_stack is not None:
            raise AppRefused("the app has already started; make its TaskQueue where the app is made")
        if app in _queues:
            raise AppRefused(f"the app has {_queues[app]!r} already; use that one")
        _queues[app] = self
        self._put_door(app)
        self._follow_lifespan(app)
        telemetry.follow(app)

    def telemetry(self) -> AbstractAsyncContextManager[None]:
        return nullcontext() if self.app is None else telemetry.exporting(self.app)

    def _put_door(self, app: FastAPI) -> None:
        """Outermost of the user's middlewares, also of those that are added later, and within the handler of 500s."""
        build = app.build_middleware_stack

        def build_with_door() -> ASGIApp:
            self._vet()
            if not in_worker():
                audit(app.routes)
                if self.session is not None:
                    note_sessions(app.routes, self.session)
            middlewares = app.user_middleware
            app.user_middleware = [Middleware(Door, queue=self), *middlewares]
            try:
                return build()
            finally:
                app.user_middleware = middlewares

        app.build_middleware_stack = build_with_door  # type: ignore[method-assign]

    def _follow_lifespan(self, app: FastAPI) -> None:
        theirs = app.router.lifespan_context

        @asynccontextmanager
        async def lifespan(served: Any) -> AsyncIterator[Any]:
            if is_importing():
                raise AppRefused(
                    "importing this app starts a server, and the worker imports it too; "
                    'put what starts it, such as uvicorn.run(…), below `if __name__ == "__main__":`'
                )
            sleeps, self._sleeps = self._sleeps and not in_worker(), False
            try:
                async with theirs(served) as state:
                    self.state = state or {}
                    async with self._running(sleeps):
                        yield state
            finally:
                self._sleeps = sleeps
                if not in_worker():
                    await self._all_carried()
                if not in_worker() and not self.is_switched:
                    await to_thread.run_sync(self.close)

        app.router.lifespan_context = lifespan

    @asynccontextmanager
    async def _running(self, with_worker: bool) -> AsyncIterator[None]:
        """What runs the jobs, from the end of the app's start-up to the begin of its shutdown."""
        if is_postgres(self.url) and not in_worker():
            await self._meet_database()
        host = self._wake() if with_worker else None
        if with_worker:
            _spare_the_collector()
        self.loop = _running_loop()
        try:
            async with self.inline.serving() if self.inline and not in_worker() else nullcontext():
                yield
        finally:
            if self._watch is not None:
                self._watch.close()
            if host is not None:
                await host.astop()
            self._host = self.loop = None

    async def _meet_database(self) -> None:
        """What only a person can mend stops the start. One that is away may come back: until then, jobs get 503."""
        if self.migrate:
            from outlast.store.postgres_schema import migrate

            await to_thread.run_sync(migrate, self.url)
        try:
            await self.aask(lambda store: store.workers())
        except NotConfirmed as error:
            _log.error("%s; until then, requests that add tasks are answered 503", error)

    def _wake(self) -> Host:
        """Start the worker beside this server, if nobody has. Needs the running loop."""
        if self._host is None:
            self._host = Host(settings_of(self, hosted=True))
        self._host.start()
        return self._host

    def _request_id(self) -> str | None:
        receipt = current.get()
        return super()._request_id() or (None if receipt is None else receipt.request_id)

    # ---- dependencies

    @cached_property
    def _solvers(self) -> dict[Callable[..., Any], Solver]:
        return {}

    @cached_property
    def _snapshots(self) -> dict[Callable[..., Any], Snapshot]:
        return {}

    @cached_property
    def owned_by(self) -> Snapshot:
        """What says in a request whose the jobs are that it adds. Raises TaskRefused where it needs the body."""
        assert self.owner is not None
        return Snapshot(self.owner, self.app or FastAPI())

    @cached_property
    def _unvetted(self) -> list[Callable[..., Any]]:
        """Tasks that could not be looked at when they were declared: their annotations name what came after them."""
        return []

    def _declare(self, func: Callable[P, R], settings: TaskOptions, aliases: Iterable[str]) -> Task[P, R]:
        task = super()._declare(func, settings, aliases)
        if has_its_hints(func):
            self.solve_of(func)
        else:
            self._unvetted.append(func)
        return task

    def _vet(self) -> None:
        if self.owner is not None:
            _ = self.owned_by
        while self._unvetted:
            self.solve_of(self._unvetted.pop())

    def snapshot(self, dependency: Callable[..., Any]) -> Any:
        """A dependency of a task that the request which adds it solves; the job carries its value.

        For what needs the request, which a worker has not: `Annotated[User, Depends(queue.snapshot(get_user))]`.
        Raises TaskRefused for one that needs the body.
        """
        if dependency not in self._snapshots:
            self._snapshots[dependency] = Snapshot(dependency, self.app or FastAPI())
        return self._snapshots[dependency]

    def solve_of(self, func: Callable[..., Any]) -> Solve | None:
        if not Signature.of(func).depends:
            return None
        if func not in self._solvers:
            self._solvers[func] = Solver(func, self)
        return self._solvers[func]

    # ---- commits

    async def acommit(self, jobs: Sequence[NewJob]) -> None:
        if self._sleeps and self.app is not None and not in_worker():
            self._wake()
        await super().acommit(jobs)

    def carry(self, jobs: Sequence[NewJob]) -> asyncio.Task[None] | None:
        """Begin to commit jobs whose files must be stored first, whoever waits for it; None where there are none."""
        if not carries(jobs):
            return None
        carrying = asyncio.create_task(self.acommit(jobs))
        self._carrying.add(carrying)
        carrying.add_done_callback(self._carried)
        return carrying

    async def _all_carried(self) -> None:
        """What clients did not wait for is committed before the server ends."""
        loop = asyncio.get_running_loop()
        if carrying := [task for task in self._carrying if task.get_loop() is loop]:
            await asyncio.wait(carrying)

    def _carried(self, done: asyncio.Task[None]) -> None:
        self._carrying.discard(done)
        if not done.cancelled() and done.exception() is not None:
            _log.error("not committed: %s", done.exception())

    def turn(self, jobs: list[NewJob]) -> Turn | None:
        """Jobs about to be committed, to be run by this process in their turn; None where a worker runs them."""
        return None if self.inline is None else Turn(self.inline, jobs)

    def committed(self, jobs: list[NewJob]) -> None:
        turn = self.turn(jobs)
        super().committed(jobs)
        if turn is not None:
            turn.run_soon()

    def rouse(self) -> None:
        if self._sleeps and self.app is not None and _running_loop() is not None:
            self._wake()
        super().rouse()
        if self.inline is not None:
            self.inline.wake()

    def _enqueue(self, jobs: list[NewJob]) -> None:
        receipt = self._receipt()
        if receipt is not None:
            jobs = owned_in_thread(jobs, receipt)
        turn = self.turn(jobs)
        self.commit(jobs)
        if turn is not None:
            turn.run_soon()

    async def _aenqueue(self, jobs: list[NewJob]) -> None:
        jobs = await owned(jobs, self._receipt())
        turn = self.turn(jobs)
        await self.acommit(jobs)
        if turn is not None:
            await turn.quietly()

    def _receipt(self) -> Receipt | None:
        """That of the request which the running code belongs to, if it is this queue that knows owners."""
        receipt = current.get() if self.owner is not None else None
        return receipt if receipt is not None and receipt.queue is self else None

    def close(self) -> None:
        if self.inline is not None and self.inline.membership.is_known:
            self.tell(self.inline.leave)
        super().close()

    # ---- over HTTP

    @cached_property
    def router(self) -> APIRouter:
        """Status, cancel and retry over HTTP: `app.include_router(queue.router, prefix="/jobs")`."""
        from outlast.fastapi.router import router_of

        return router_of(self)

    @cached_property
    def monitor(self) -> APIRouter:
        """`/metrics` for Prometheus and `/healthz`: `app.include_router(queue.monitor)`. Needs outlast[metrics]."""
        from outlast.fastapi.monitor import monitor_of

        return monitor_of(self)

    @cached_property
    def collector(self) -> Collector:
        """The same metrics for a registry of prometheus-client's own: `REGISTRY.register(queue.collector)`."""
        from outlast.metrics import Collector

        return Collector(self.ask)

    def router_of(self, task: Callable[..., Any]) -> APIRouter:
        """`router` for the jobs of one task alone, whose results have the type that the task's annotation says.

        Raises TaskRefused for one whose annotation has no JSON schema.
        """
        from outlast.fastapi.router import router_of

        return router_of(self, self.call_of(task).task)

    def accepted(
        self,
        job: Job,
        request: Request,
        *,
        task: Callable[..., Any] | None = None,
        retry_after: timedelta | None = None,
    ) -> JSONResponse:
        """The answer 202 with the `Location` of a job's status, where `router` is included, or `router_of(task)`.

        `retry_after`: when to ask for the first time; after a second by default. Raises AppRefused where neither is.
        """
        from outlast.fastapi.router import accepted

        return accepted(job, request, self._task_of(task), retry_after)

    async def answered(
        self,
        job: Job,
        request: Request,
        *,
        task: Callable[..., Any] | None = None,
        retry_after: timedelta | None = None,
    ) -> Response:
        """`accepted`; but where the client says `Prefer: wait=5`, and the job ends in time: 200, with its status.

        For a job that is committed, by `aenqueue`: one added to BackgroundTasks is not before the response starts.
        """
        from outlast.fastapi.router import answered

        return await answered(self, job, request, self._task_of(task), retry_after)

    def _task_of(self, func: Callable[..., Any] | None) -> Task[..., Any] | None:
        return None if func is None else self.call_of(func).task

    @property
    def watch(self) -> Watch:
        """Who waits for jobs on the running loop."""
        loop = asyncio.get_running_loop()
        if self._watch is None or self._watch.loop is not loop:
            self._watch = Watch(self, loop)
        return self._watch

    def _heard(self, touched: bool) -> bool:
        if touched and self._watch is not None:
            self._watch.wake()
        return super()._heard(touched)

    def dashboard(
        self,
        *,
        auth: Callable[..., Any] | None = None,
        read_only: bool | Callable[..., Any] = False,
    ) -> ASGIApp:
        """Pages about the jobs, to be mounted: `app.mount("/outlast", queue.dashboard(auth=require_admin))`.

        `auth` is a dependency of the app that raises for whom it does not let in. Without it, only browsers on this
        machine are answered. Who may only look is said by `read_only`: True for all, or a dependency that returns it.
        Raises OptionRefused where Jinja2 is missing.
        """
        from outlast.dashboard import dashboard_of

        return dashboard_of(self, auth=auth, read_only=read_only)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    """None on a loop that is not asyncio's."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _spare_the_collector() -> None:
    """Put what the app is made of out of the garbage collector's way.

    Requests that wait for their commit outlive its young generations, so that it would walk through the whole app three
    times a second under load: stops of 28 ms, which made up most of the slowest percent of requests.
    """
    gc.freeze()
