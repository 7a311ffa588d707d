"""Solves what a task declares by `Depends(…)`: FastAPI itself does, through a private route for each task.

The endpoint of that route takes the task's `Depends` parameters and nothing else. It is called as the ASGI app that it
is, with a scope made here: so `yield` clean-up, caching, overrides and the lifespan's state are FastAPI's own. What
needs the request of a client is refused when the task is declared.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import FastAPIError
from fastapi.middleware.asyncexitstack import AsyncExitStackMiddleware
from fastapi.routing import APIRoute
from fastapi.security.base import SecurityBase
from starlette.types import Message, Scope

from outlast.errors import TaskRefused
from outlast.fastapi.receipt import KEY, Receipt, describe
from outlast.job import NewJob
from outlast.luggage.binding import Parameter, parameters_of

if TYPE_CHECKING:
    from outlast.fastapi.queue import TaskQueue

Proceed = Callable[..., Awaitable[Any]]
"""Calls the task with what was solved, by the names of its parameters."""

_CALL = "outlast.call"
_REQUEST = "outlast_request"
_KEYWORD = inspect.Parameter.KEYWORD_ONLY
_log = logging.getLogger("outlast.worker")


class Solver:
    """Solves the dependencies of one task function, once for each attempt. Raises TaskRefused when it is made."""

    def __init__(self, func: Callable[..., Any], queue: TaskQueue) -> None:
        self._queue = queue
        self._app = queue.app or FastAPI()
        parameters = [parameter for parameter in parameters_of(func) if parameter.depends]
        _refuse_positional(func, parameters)
        route = APIRoute(
            "/",
            _endpoint(func, parameters),
            response_model=None,
            dependency_overrides_provider=self._app,
        )
        _refuse_requests(func, route.dependant)
        self._route = AsyncExitStackMiddleware(route)

    async def __call__(self, proceed: Proceed) -> tuple[Any, list[NewJob]]:
        """What the task returned, and the jobs that it added: they are to be committed with its success.

        Raises what the task or a dependency raises; what it added is then discarded.
        """
        call = _Call(proceed)
        scope = self._scope(call)
        receipt = scope[KEY] = _TaskReceipt(self._queue, scope)
        try:
            await self._route(scope, _receive, _send)
        except BaseException as error:
            receipt.open = False
            receipt.discard(repr(error))
            raise call.error_behind(error) from None
        finally:
            receipt.tasks = None  # no circle is left behind
        receipt.open = receipt.undecided = False
        return call.result, self._queue.bind(receipt.take())

    def _scope(self, call: _Call) -> Scope:
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
            _CALL: call,
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

    @property
    def needs_caller(self) -> bool:
        return self.open

    def discard(self, reason: str) -> None:
        self.undecided = False
        jobs = self.take()
        if jobs:
            _log.warning(
                "%d job(s) discarded, because the task that added them failed: %s; discarded: %s",
                len(jobs),
                reason,
                describe(jobs),
            )


def _endpoint(func: Callable[..., Any], parameters: list[Parameter]) -> Callable[..., Any]:
    """An endpoint that asks FastAPI for these parameters, and hands them to the call that lies in its scope."""

    async def endpoint(**solved: Any) -> Response:
        request: Request = solved.pop(_REQUEST)
        await request.scope[_CALL](solved)
        return Response()

    asked = [Parameter(_REQUEST, _KEYWORD, annotation=Request), *parameters]
    told: Any = endpoint
    told.__signature__ = inspect.Signature([_asked(parameter) for parameter in asked])
    told.__name__ = func.__name__
    return endpoint


def _asked(parameter: Parameter) -> inspect.Parameter:
    return inspect.Parameter(
        parameter.name, _KEYWORD, default=parameter.default, annotation=parameter.annotation
    )


async def _receive() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}


async def _send(message: Message) -> None:
    pass


# ---- what is refused -------------------------------------------------------------------------------------------------


def _refuse_positional(func: Callable[..., Any], parameters: list[Parameter]) -> None:
    for parameter in parameters:
        if not parameter.by_name:
            raise TaskRefused(
                f"{func.__qualname__}() takes {parameter.name!r} by its position only, and declares it by Depends(…), "
                "which fills parameters by their names; take the `/` or the `*` away"
            )


def _refuse_requests(func: Callable[..., Any], dependant: Dependant) -> None:
    for parameter in dependant.dependencies:
        for need in _needs(parameter):
            raise TaskRefused(
                f"{func.__qualname__}() declares {parameter.name!r} by Depends({_name(parameter.call)}), which needs a "
                f"client's request, and a worker has none: {need}; pass the value as an argument, or have the request "
                f"solve it: Depends(queue.snapshot({_name(parameter.call)}))"
            )


def _needs(dependant: Dependant) -> Iterator[str]:
    """What a dependency, or one below it, wants of a client's request."""
    who = f"{_name(dependant.call)}()"
    kinds = {
        "a path parameter": dependant.path_params,
        "a query parameter": dependant.query_params,
        "a header": dependant.header_params,
        "a cookie": dependant.cookie_params,
        "the body": dependant.body_params,
    }
    for kind, params in kinds.items():
        for param in params:
            yield f"{param.name!r} of {who} is {kind}"
    if dependant.websocket_param_name:
        yield f"{dependant.websocket_param_name!r} of {who} is a WebSocket"
    if isinstance(dependant.call, SecurityBase):
        yield f"{type(dependant.call).__name__} reads the client's credentials"
    for below in dependant.dependencies:
        yield from _needs(below)


def _name(call: Any) -> str:
    return getattr(call, "__qualname__", type(call).__qualname__)
