"""Pages and actions as one app within the user's app, which solves dependencies and tells errors as the user's does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fastapi import Depends, FastAPI, Request, Response
from fastapi.responses import HTMLResponse
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

from outlast.dashboard.actions import actions_of
from outlast.dashboard.bulk import bulk_of
from outlast.dashboard.desk import Desk, Unanswerable
from outlast.dashboard.drawing import draw, static, visit_of
from outlast.dashboard.gate import Gate
from outlast.dashboard.pages import pages_of
from outlast.errors import JobNotFound, StoreError
from outlast.queue import TaskQueue

_TYPES = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml", "LICENSE": "text/plain"}
_FOREVER = "public, max-age=31536000, immutable"


def site_of(
    queue: TaskQueue, *, auth: Callable[..., Any] | None, read_only: bool | Callable[..., Any]
) -> ASGIApp:
    """The whole dashboard."""
    site = _Site(
        queue.app,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        dependencies=[*([] if auth is None else [Depends(auth)]), Depends(_rights(read_only))],
    )
    desk = Desk(queue)
    site.include_router(pages_of(desk))
    site.include_router(actions_of(desk))
    site.include_router(bulk_of(desk))
    site.add_api_route("/static/{name}", _static, response_class=Response)
    site.user_middleware = [
        Middleware(Gate, is_open=auth is not None, refuse=_refusal),
        Middleware(_WithinApp, parent=queue.app),
    ]
    return site


class _Site(FastAPI):
    """An app that takes overrides and handlers of errors from another, so that `auth` finds what it finds there."""

    def __init__(self, parent: FastAPI | None, **settings: Any) -> None:
        self._parent = parent
        self._own_handlers: dict[Any, Any] = {}
        super().__init__(**settings)

    @property
    def dependency_overrides(self) -> dict[Callable[..., Any], Callable[..., Any]]:
        return {} if self._parent is None else self._parent.dependency_overrides

    @dependency_overrides.setter
    def dependency_overrides(self, _: Any) -> None:
        pass

    @property
    def exception_handlers(self) -> dict[Any, Any]:
        """Asked for when the first request comes: by then the parent has all of its own."""
        theirs = {} if self._parent is None else self._parent.exception_handlers
        return {**self._own_handlers, **theirs, **_HANDLERS}

    @exception_handlers.setter
    def exception_handlers(self, handlers: Mapping[Any, Any]) -> None:
        self._own_handlers = dict(handlers)


class _WithinApp:
    """Has dependencies see the user's app in `request.app`, as they do in its own routes."""

    def __init__(self, app: ASGIApp, parent: FastAPI | None) -> None:
        self._app = app
        self._parent = parent

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._parent is not None:
            scope["app"] = self._parent
        await self._app(scope, receive, send)


def _rights(read_only: bool | Callable[..., Any]) -> Callable[..., Any]:
    """A dependency that notes whether who looks may also change something."""
    only_looks = read_only if callable(read_only) else lambda: read_only

    def note(request: Request, looks: Any = Depends(only_looks)) -> None:
        request.state.may_act = not looks

    return note


async def _static(name: str) -> Response:
    content = static(name)
    if content is None:
        raise Unanswerable(404, "Not found", f"The dashboard has no file {name!r}.")
    kind = _TYPES.get(name.rpartition(".")[2], "application/octet-stream")
    return Response(content, media_type=kind, headers={"Cache-Control": _FOREVER})


# ---- when there is no answer -----------------------------------------------------------------------------------------


def _refusal(status: int, title: str, text: str) -> ASGIApp:
    async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
        await _page(Request(scope), status, title, text)(scope, receive, send)

    return refuse


async def _tell(request: Request, error: Any) -> Response:
    return _page(request, error.status, error.title, error.text)


async def _tell_missing(request: Request, error: Exception) -> Response:
    return _page(request, 404, "No such job", f"{str(error).partition(';')[0]}.")


async def _tell_store(request: Request, error: Exception) -> Response:
    return _page(request, 503, "The store does not answer", f"{error}.")


def _page(request: Request, status: int, title: str, text: str) -> HTMLResponse:
    """A page that needs neither the store nor anybody's rights."""
    visit = visit_of(request)
    return HTMLResponse(draw("refused.html", visit, {"title": title, "text": text}), status)


_HANDLERS: dict[Any, Any] = {Unanswerable: _tell, JobNotFound: _tell_missing, StoreError: _tell_store}
"""With pages, whatever the app does about its own errors."""
