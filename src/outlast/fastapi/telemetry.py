"""FastAPI's own OpenTelemetry instrumentation, which newer versions have: the worker follows its settings.

The names are FastAPI's own. Where they are not, spans go to the global provider, as nearly everybody's do.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI

from outlast import tracing


def follow(app: FastAPI) -> None:
    """Let the attempts of tasks be seen where the app's requests are: `FastAPI(telemetry={"tracer_provider": …})`."""
    provider = _settings(app).get("tracer_provider")
    if provider is not None:
        tracing.follow(provider)


@asynccontextmanager
async def exporting(app: FastAPI) -> AsyncIterator[None]:
    """Export as the environment says, if the app does (`FASTAPI_OTEL_AUTO_CONFIGURE`), and to the end.

    FastAPI sets that up when a server starts the app, which nobody does in a worker. So an app with nothing but these
    settings is started here, as a server would.
    """
    settings = _settings(app)
    if not settings.get("auto_configure"):
        yield
        return
    bare: Any = FastAPI(openapi_url=None, telemetry=settings)  # type: ignore[arg-type]
    begun, over = asyncio.Event(), asyncio.Event()

    async def receive() -> dict[str, str]:
        if not begun.is_set():
            return {"type": "lifespan.startup"}
        await over.wait()
        return {"type": "lifespan.shutdown"}

    async def send(message: Any) -> None:
        begun.set()

    served = asyncio.create_task(bare({"type": "lifespan"}, receive, send))
    await begun.wait()
    try:
        yield
    finally:
        over.set()
        await served


def _settings(app: FastAPI) -> dict[str, Any]:
    return getattr(app, "_telemetry", None) or {}
