"""A route that no client can reach: has FastAPI solve parameters, and hands what they came to to a call.

Its endpoint takes those parameters and nothing else. It is called as the ASGI app that it is, so `yield` clean-up,
caching and overrides are FastAPI's own.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from fastapi import FastAPI, Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.middleware.asyncexitstack import AsyncExitStackMiddleware
from fastapi.routing import APIRoute
from fastapi.security.base import SecurityBase
from starlette.types import Message, Scope, Send

from outlast.luggage.binding import Parameter

Receiver = Callable[[dict[str, Any]], Awaitable[None]]
"""Takes the solved values, by the names of their parameters, while what they depend on is open."""

_RECEIVER = "outlast.receiver"
_REQUEST = "outlast_request"
_KEYWORD = inspect.Parameter.KEYWORD_ONLY


class Need(NamedTuple):
    """What a dependency wants of the request of a client."""

    what: str
    is_there_until_the_end: bool
    """Whether the request still has it when its response starts."""


class PrivateRoute:
    """Solves these parameters for an app. `in_path`: the names of what FastAPI shall look for in the path."""

    def __init__(
        self, name: str, parameters: Sequence[Parameter], app: FastAPI, in_path: Iterable[str] = ()
    ) -> None:
        route = APIRoute(
            "/" + "/".join(f"{{{each}}}" for each in in_path),
            _endpoint(name, parameters),
            response_model=None,
            dependency_overrides_provider=app,
        )
        self.dependencies: list[Dependant] = route.dependant.dependencies
        """One for each parameter."""
        self._app = AsyncExitStackMiddleware(route.app)

    async def __call__(self, scope: Scope, receiver: Receiver, send: Send) -> None:
        """Solve them in a scope, and pass them on. Raises what a dependency or the receiver raises.

        Where the scope has handlers of errors, what they answer is sent instead.
        """
        await self._app({**scope, _RECEIVER: receiver}, _receive, send)


def _endpoint(name: str, parameters: Sequence[Parameter]) -> Callable[..., Any]:
    async def endpoint(**solved: Any) -> Response:
        request: Request = solved.pop(_REQUEST)
        await request.scope[_RECEIVER](solved)
        return Response()

    asked = [Parameter(_REQUEST, _KEYWORD, annotation=Request), *parameters]
    told: Any = endpoint
    told.__signature__ = inspect.Signature([replace(each, kind=_KEYWORD).declared for each in asked])
    told.__name__ = name
    return endpoint


async def _receive() -> Message:
    """The body, which is nobody's any more, or never was."""
    return {"type": "http.request", "body": b"", "more_body": False}


def needs(dependant: Dependant) -> Iterator[Need]:
    """What a dependency, or one below it, wants of a client's request."""
    who = f"{name_of(dependant.call)}()"
    kinds = (
        ("a path parameter", dependant.path_params, True),
        ("a query parameter", dependant.query_params, True),
        ("a header", dependant.header_params, True),
        ("a cookie", dependant.cookie_params, True),
        ("a part of the body", dependant.body_params, False),
    )
    for kind, fields, stays in kinds:
        for field in fields:
            yield Need(f"{field.name!r} of {who} is {kind}", stays)
    if dependant.websocket_param_name:
        yield Need(f"{dependant.websocket_param_name!r} of {who} is a WebSocket", False)
    if isinstance(dependant.call, SecurityBase):
        yield Need(f"{type(dependant.call).__name__} reads the client's credentials", True)
    for below in dependant.dependencies:
        yield from needs(below)


def name_of(call: Any) -> str:
    """What people call a dependency."""
    return str(getattr(call, "__qualname__", type(call).__qualname__))
