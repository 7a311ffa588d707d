"""The one place that knows how FastAPI tells of a request's failure before the response starts.

FastAPI keeps two exit stacks in the scope: one unwinds when the endpoint has returned, one after the response. Whatever
fails before the response starts (endpoint, dependency on its way out, response validation, a middleware that the
response passes) unwinds at least one of them with its exception; both are watched, because a dependency may swallow it.
The names are FastAPI's own. A probe finds whether they hold; where not, a generator dependency does nearly the same.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, cast

from fastapi import Depends, FastAPI
from fastapi.requests import HTTPConnection

if TYPE_CHECKING:
    from outlast.fastapi.receipt import Receipt

STACKS = ("fastapi_inner_astack", "fastapi_function_astack")


def watch(receipt: Receipt) -> None:
    """Let a receipt see whether its request fails. Without effect where the request has no stacks, or has left them."""
    scope = receipt.scope
    if scope["type"] == "http":
        for name in STACKS:
            stack = scope.get(name)
            if stack is not None:
                stack.push(receipt)


def has_stacks() -> bool:
    """Whether FastAPI's stacks are where we know them to be, and see what an endpoint raises: tried on a tiny app."""
    seen: list[BaseException | None] = []

    def probe(conn: HTTPConnection) -> None:
        for name in STACKS:
            stack: AsyncExitStack = conn.scope[name]
            stack.push(lambda kind, error, where: seen.append(error))

    try:
        _call(_tiny_app(probe))
    except _Probed as probed:
        return seen == [probed, probed]
    except Exception:
        return False
    return False


class _Probed(Exception):
    """What the tiny app's endpoint raises."""


def _tiny_app(probe: Any) -> FastAPI:
    app = FastAPI(openapi_url=None)

    async def dependency(conn: HTTPConnection) -> None:
        probe(conn)

    @app.get("/", dependencies=[Depends(dependency)])
    async def endpoint() -> None:
        raise _Probed

    return app


def _call(app: FastAPI) -> None:
    """A request without a server or a loop: nothing in it waits for anything."""

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        pass

    scope = {
        "type": "http",
        "method": "GET",
        "path": "/",
        "headers": [],
        "query_string": b"",
        "http_version": "1.1",
        "root_path": "",
    }
    stack = cast("Callable[..., Coroutine[Any, Any, None]]", app.build_middleware_stack())
    request = stack(scope, receive, send)
    try:
        request.send(None)
    except StopIteration:
        pass
    finally:
        request.close()
