"""Solves what a task declares by `Depends(…)`, in the worker: FastAPI does, through a private route for each task.

The route is called with a scope made here, which has the app and the lifespan's state. What needs the request of a
client is refused when the task is declared.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from fastapi.exceptions import FastAPIError
from starlette.types import Message, Scope

from outlast import request_id
from outlast.errors import TaskRefused
from outlast.fastapi.private_route import PrivateRoute, name_of, needs
from outlast.fastapi.receipt import KEY, Receipt
from outlast.fastapi.sessions import look_after
from outlast.job import NewJob, described
from outlast.luggage.binding import Parameter, parameters_of

if TYPE_CHECKING:
    from outlast.fastapi.queue import TaskQueue

Proceed = Callable[..., Awaitable[Any]]
"""Calls the task with what was solved, by the names of its parameters."""
_log = logging.getLogger("outlast.worker")


class Solver:
    """Solves the dependencies of one task function, once for each attempt. Raises TaskRefused when it is made."""

    def __init__(self, func: Callable[..., Any], queue: TaskQueue) -> None:
        self._queue = queue
        self._app = queue.app or FastAPI()
        parameters = [parameter for parameter in parameters_of(func) if parameter.depends]
        _refuse_positional(func, parameters)
        self._route = PrivateRoute(func.__name__, parameters, self._app)
        _refuse_requests(func, self._route)

    async def __call__(self, proceed: Proceed) -> tuple[Any, Sequence[NewJob]]:
        """What the task returned, and the jobs that it added: they are to be committed with its success.

        Raises what the task or a dependency raises; what it added is then discarded.
        """
        call = _Call(proceed)
        scope = self._scope()
        receipt = scope[KEY] = _TaskReceipt(self._queue, scope)
        try:
            await self._route(scope, call, _send)
            receipt.open = False
            added = await self._queue.astow(self._queue.bind(receipt.jobs))
        except BaseException as error:
            receipt.open = False
            receipt.discard(repr(error))
            raise call.error_behind(error) from None
        finally:
            receipt.tasks = None  # no circle is left behind
            if receipt.entries:
                look_after(receipt)
        receipt.undecided = False
        receipt.take()
        return call.result, added

    def _scope(self) -> Scope:
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": "/",
            "raw_path": b"/",
            "root_path": "",
            "query_string": b"",
            "headers": [],
            "client": None,
            "server": None,
            "app": self._app,
            "router": self._app.router,
            "state": dict(self._queue.state),
        }


class _Call:
    """One call of the task, in the middle of its dependencies."""

    def __init__(self, proceed: Proceed) -> None:
        self._proceed = proceed
        self.result: Any = None
        self.error: BaseException | None = None

    async def __call__(self, solved: dict[str, Any]) -> None:
        try:
            self.result = await self._proceed(**solved)
        except BaseException as error:
            self.error = error
            raise

    def error_behind(self, error: BaseException) -> BaseException:
        """FastAPI complains of a dependency that swallows an error: the error itself says more."""
        return self.error if self.error is not None and isinstance(error, FastAPIError) else error


class _TaskReceipt(Receipt):
    """The jobs that a task adds, until it has succeeded."""

    __slots__ = ()
    decided_when = "when the task that added it has succeeded"

    adder = "the task that added them"

    @property
    def needs_caller(self) -> bool:
        return self.open

    def committed(self, jobs: list[NewJob]) -> None:
        self.queue.committed(jobs)

    def lost(self, jobs: list[NewJob], why: str) -> None:
        _log.warning(
            "%d job(s) discarded, because %s; discarded: %s; request=%s",
            len(jobs),
            why,
            described(jobs),
            request_id.current.get() or "-",
        )


async def _send(message: Message) -> None:
    """Nobody waits for the response."""


# ---- what is refused -------------------------------------------------------------------------------------------------


def _refuse_positional(func: Callable[..., Any], parameters: list[Parameter]) -> None:
    for parameter in parameters:
        if not parameter.by_name:
            raise TaskRefused(
                f"{func.__qualname__}() takes {parameter.name!r} by its position only, and declares it by Depends(…), "
                "which fills parameters by their names; take the `/` or the `*` away"
            )


def _refuse_requests(func: Callable[..., Any], route: PrivateRoute) -> None:
    for parameter in route.dependencies:
        for need in needs(parameter):
            name = name_of(parameter.call)
            snapshot = f", or have the request solve it: Depends(queue.snapshot({name}))"
            raise TaskRefused(
                f"{func.__qualname__}() declares {parameter.name!r} by Depends({name}), which needs a client's "
                f"request, and a worker has none: {need.what}; pass the value as an argument"
                f"{snapshot if need.is_there_until_the_end else ''}"
            )
