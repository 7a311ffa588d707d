"""`/metrics` and `/healthz` of a queue as routes of an app: `app.include_router(queue.monitor)`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Header, Query, Response

from outlast import monitor
from outlast.errors import StoreError
from outlast.monitor import Answer

if TYPE_CHECKING:
    from outlast.fastapi.queue import TaskQueue

Late = Annotated[
    str | None, Query(description="How long a job may be ready before that is a problem: 30s, 5m")
]
Accept = Annotated[str, Header()]


def monitor_of(queue: TaskQueue) -> APIRouter:
    """The routes of one queue; not in OpenAPI, since they are not for the app's clients."""
    router = APIRouter(include_in_schema=False)

    @router.get("/healthz")
    async def healthz(late: Late = None) -> Response:
        try:
            return _response(await queue.aask(lambda store: monitor.health(store, late)))
        except StoreError as error:
            return _response(monitor.store_is_away(error))

    @router.get("/metrics")
    async def metrics(accept: Accept = "") -> Response:
        try:
            return _response(await queue.aask(lambda store: monitor.metrics_of(store, accept)))
        except StoreError as error:
            return _response(monitor.store_is_away(error))

    return router


def _response(answer: Answer) -> Response:
    return Response(answer.body, answer.status, {"Content-Type": answer.kind})
