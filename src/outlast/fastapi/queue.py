"""The TaskQueue that users hold: the core one, tied to a FastAPI app.

It puts the door around the app's middlewares, follows its lifespan, and starts the worker beside the server: at the
app's start-up, or at the first commit where no lifespan runs; never when it is made, because servers may fork after.
"""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, nullcontext
from functools import cached_property
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from anyio import to_thread
from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.types import ASGIApp

from outlast import queue
from outlast.errors import AppRefused, OptionRefused
from outlast.fastapi.audit import audit
from outlast.fastapi.door import Door
from outlast.fastapi.holds import Holds
from outlast.fastapi.inline import Inline, Turn
from outlast.fastapi.too_large import UploadTooLarge
from outlast.files.cargo import carries
from outlast.handle import Job
from outlast.job import NewJob
from outlast.role import in_worker, is_importing
from outlast.worker.app import settings_of
from outlast.worker.host import Host

if TYPE_CHECKING:
    from fastapi import APIRouter, Request
    from fastapi.responses import JSONResponse

_log = logging.getLogger("outlast.request")
_queues: WeakKeyDictionary[FastAPI, TaskQueue] = WeakKeyDictionary()


class TaskQueue(queue.TaskQueue):
    """Durable tasks for a FastAPI app: `queue = TaskQueue(app)`. In a script without an app: `TaskQueue(store=…)`.

    `store` is the URL of the store, `worker` who runs the jobs: "process" (a worker that the server starts beside
    itself), "external" (`outlast worker`, started by you) or "inline" (the server itself). The environment has the last
    word: `OUTLAST_STORE`, `OUTLAST_WORKER`. `ordered=False` lifts the order of a request's jobs. `payload_limit` is in
    bytes. `grace` is what running jobs have at shutdown; finished jobs are kept for `retention`. `children` processes
    run `slots` jobs each at a time. `worker_lifespan` takes the place of the app's lifespan in the worker.
    Uploads and other files lie at the URL `files`, by default in a folder beside the store. Where it is given, it also
    takes arguments and results over `payload_limit`; `OUTLAST_FILES` has the last word. One file may have `file_limit`
    bytes, any number by default. `commit_timeout` bounds the wait for a commit. Raises OptionRefused, StoreUnusable,
    AppRefused.
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

    def _put_door(self, app: FastAPI) -> None:
        """Outermost of the user's middlewares, also of those that are added later, and within the handler of 500s."""
        build = app.build_middleware_stack

        def build_with_door() -> ASGIApp:
            if not in_worker():
                audit(app.routes)
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
            sleeps, self._sleeps = self._sleeps, False
            try:
                async with theirs(served) as state, self._running(sleeps):
                    yield state
            finally:
                self._sleeps = sleeps
                if not in_worker():
                    await self._all_carried()
                    await to_thread.run_sync(self.close)

        app.router.lifespan_context = lifespan

    @asynccontextmanager
    async def _running(self, with_worker: bool) -> AsyncIterator[None]:
        """What runs the jobs, from the end of the app's start-up to the begin of its shutdown."""
        host = self._wake() if with_worker else None
        if with_worker:
            _spare_the_collector()
        try:
            async with self.inline.serving() if self.inline and not in_worker() else nullcontext():
                yield
        finally:
            if host is not None:
                await host.astop()
            self._host = None

    def _wake(self) -> Host:
        """Start the worker beside this server, if nobody has. Needs the running loop."""
        if self._host is None:
            self._host = Host(settings_of(self, hosted=True))
        self._host.start()
        return self._host

    # ---- commits

    async def acommit(self, jobs: Sequence[NewJob]) -> None:
        if self._sleeps and self.app is not None:
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

    def _enqueue(self, jobs: list[NewJob]) -> None:
        turn = self.turn(jobs)
        self.commit(jobs)
        if turn is not None:
            turn.run_soon()

    async def _aenqueue(self, jobs: list[NewJob]) -> None:
        turn = self.turn(jobs)
        await self.acommit(jobs)
        if turn is not None:
            await turn.quietly()

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

    def accepted(self, job: Job, request: Request) -> JSONResponse:
        """The answer 202 with the `Location` of a job's status, where `router` is included."""
        from outlast.fastapi.router import accepted

        return accepted(job, request)


def _spare_the_collector() -> None:
    """Put what the app is made of out of the garbage collector's way.

    Requests that wait for their commit outlive its young generations, so that it would walk through the whole app three
    times a second under load: stops of 28 ms, which made up most of the slowest percent of requests.
    """
    gc.freeze()
