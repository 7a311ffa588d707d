"""Finds endpoints and dependencies that still take FastAPI's own BackgroundTasks, whose tasks no restart survives."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Iterable, Iterator
from typing import Any

from fastapi.dependencies.models import Dependant

from outlast.fastapi import routes
from outlast.fastapi.tasks import OWN

_log = logging.getLogger("outlast.request")


def audit(app_routes: Iterable[Any]) -> None:
    """Warn of each, once, with its file, line, function and parameter."""
    seen: set[tuple[Any, str]] = set()
    for _, dependant in routes.each(app_routes):
        for call, parameter in _plain(dependant):
            if (call, parameter) not in seen:
                seen.add((call, parameter))
                _warn(call, parameter)


def _plain(dependant: Dependant) -> Iterator[tuple[Any, str]]:
    if dependant.call in OWN:
        return
    if dependant.background_tasks_param_name:
        yield dependant.call, dependant.background_tasks_param_name
    for each_one in dependant.dependencies:
        yield from _plain(each_one)


def _warn(call: Any, parameter: str) -> None:
    func = inspect.unwrap(call)
    code = getattr(func, "__code__", None) or getattr(type(func).__call__, "__code__", None)
    _log.warning(
        "%s:%s: parameter %r of %s is FastAPI's own BackgroundTasks, so what it adds is lost when the server stops; "
        "import BackgroundTasks from outlast there (a subclass of it does not work as a parameter)",
        getattr(code, "co_filename", "?"),
        getattr(code, "co_firstlineno", "?"),
        parameter,
        getattr(func, "__qualname__", func),
    )
