"""Finds the user's app in a child: imports its module, and the TaskQueue made there; and what that one wants."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from datetime import timedelta
from typing import Any

from outlast import role
from outlast.clock import to_duration
from outlast.errors import AppNotFound, OptionRefused
from outlast.options import did_you_mean
from outlast.queue import TaskQueue
from outlast.target import Target
from outlast.worker.settings import SLOTS, Settings, cores

_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


def find_queue(target: Target, url: str | None = None) -> TaskQueue:
    """Import the app and return its TaskQueue: the one for this store where there are several. Raises AppNotFound."""
    sys.path[:] = target.path
    os.chdir(target.folder)
    sys.argv[1:] = []  # ours are not the app's
    found = _named(_imported(target), target)
    role.has_imported()
    queues = (
        [found] if isinstance(found, TaskQueue) else [queue for queue in TaskQueue.made if queue.app is found]
    )
    queues = queues or list(TaskQueue.made)
    for queue in queues:
        if url is None or queue.url == url:
            return queue
    if queues:
        return queues[0]
    raise AppNotFound(
        f"{target.name} was imported, but no TaskQueue was made there; "
        "add `queue = TaskQueue(app)` beside the app, or name the module that does"
    )


def settings_of(queue: TaskQueue, target: Target | None = None, *, hosted: bool = False) -> Settings:
    """How the worker of a TaskQueue works; `target` is how a child finds the app, if not where the queue was made."""
    return Settings(
        url=queue.url,
        target=target or queue.target,
        children=0 if None in queue.handover else queue.children or cores(),
        handed=queue.handed,
        slots=queue.slots or SLOTS,
        grace=_grace(queue),
        retention=queue.retention,
        migrate=queue.migrate,
        hosted=hosted,
        log_level=_log_level(),
    )


def _grace(queue: TaskQueue) -> timedelta:
    """The environment has the last word."""
    told = os.environ.get("OUTLAST_GRACE")
    try:
        return to_duration(told) if told else queue.grace
    except ValueError as error:
        raise OptionRefused(f"OUTLAST_GRACE: {error}") from error


def _log_level() -> str:
    told = os.environ.get("OUTLAST_LOG_LEVEL", "INFO").upper()
    if told not in _LEVELS:
        raise OptionRefused(f"OUTLAST_LOG_LEVEL={told}{did_you_mean(told, _LEVELS)}")
    return told


@asynccontextmanager
async def lifespan_of(queue: TaskQueue) -> AsyncIterator[None]:
    """What a child enters before it runs jobs: first the app's telemetry, which sees the rest to its end."""
    async with queue.telemetry(), _own_lifespan(queue) as state:
        queue.state = state or {}
        yield


def _own_lifespan(queue: TaskQueue) -> AbstractAsyncContextManager[Any]:
    """The queue's `worker_lifespan` if given, else the app's own lifespan."""
    if queue.worker_lifespan is not None:
        return queue.worker_lifespan(queue.app)
    if queue.app is not None:
        lifespan: AbstractAsyncContextManager[Any] = queue.app.router.lifespan_context(queue.app)
        return lifespan
    return nullcontext()


def _imported(target: Target) -> Any:
    try:
        return importlib.import_module(target.module)
    except SystemExit as error:
        raise AppNotFound(
            f"importing {target.module} ended the process (exit code {error.code}); if it starts a server, "
            'put that below `if __name__ == "__main__":`, because the worker imports the module too'
        ) from error
    except ModuleNotFoundError as error:
        if error.name is None or not target.module.startswith(error.name):
            raise
        raise AppNotFound(
            f"there is no module {target.module!r} (looked from {target.folder}); "
            "run the command from the folder that holds it, or name it as `package.module:app`"
        ) from error


def _named(module: Any, target: Target) -> Any:
    if target.attribute is None:
        return None
    found = module
    for name in target.attribute.split("."):
        if not hasattr(found, name):
            raise AppNotFound(
                f"{target.module} has no attribute {target.attribute!r}; name the app that is there: "
                f"{target.module}:NAME"
            )
        found = getattr(found, name)
    return found() if target.factory else found
