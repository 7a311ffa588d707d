"""What FastAPI's routes say of themselves: their dependencies, also those that an including router adds."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import fastapi.routing
from fastapi.dependencies.models import Dependant
from starlette.types import Message, Scope

from outlast.fastapi.tasks import OWN

_BODYLESS = frozenset({204, 304})


class Routes:
    """Which routes must have their jobs held until the request has unwound."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[Any, bool]] = {}

    def hold(self, scope: Scope, start: Message) -> bool:
        """Whether the response that `start` begins comes from such a route, and is no stream."""
        route = scope.get("route")
        if route is None or not self._has_exit(route, scope.get("app")):
            return False
        return start["status"] in _BODYLESS or any(name == b"content-length" for name, _ in start["headers"])

    def _has_exit(self, route: Any, app: Any) -> bool:
        """Whether it has a request-scoped `yield` dependency. Remembered, unless dependencies are overridden."""
        overrides = getattr(app, "dependency_overrides", None)
        if overrides:
            return _has_exit(route, app, overrides)
        if id(route) not in self._known:
            has_exit = _has_exit(route, app, {})
            self._known[id(route)] = (route, has_exit)  # the route too, so that no other gets its id
        return self._known[id(route)][1]


def each(routes: Iterable[Any]) -> Iterator[tuple[Any, Dependant]]:
    """Every route below, mounted apps included, with its dependencies; once for each way it is included."""
    for context in _contexts(routes):
        route = getattr(context, "original_route", context)
        dependant = getattr(context, "dependant", None)
        if dependant is not None:
            yield route, dependant
        yield from each(getattr(getattr(route, "app", None), "routes", None) or ())


def _contexts(routes: Iterable[Any]) -> Iterable[Any]:
    """Newer versions of FastAPI keep included routers as they are, and walk them by this name."""
    walk = getattr(fastapi.routing, "iter_route_contexts", None)
    return routes if walk is None else walk(list(routes))


def _has_exit(route: Any, app: Any, overrides: dict[Any, Any]) -> bool:
    dependants = [
        dependant for each_route, dependant in each(getattr(app, "routes", ())) if each_route is route
    ]
    own = getattr(route, "dependant", None)
    return any(_exits(dependant, overrides) for dependant in dependants or ([own] if own else []))


def _exits(dependant: Dependant, overrides: dict[Any, Any]) -> bool:
    for each_one in dependant.dependencies:
        call = overrides.get(each_one.call, each_one.call)
        if call in OWN:
            continue
        if each_one.scope != "function" and _yields(call):
            return True
        if _exits(each_one, overrides):
            return True
    return False


def _yields(call: Callable[..., Any] | None) -> bool:
    """Whether FastAPI takes it for a dependency with `yield`: a generator function, or an object called as one."""
    while isinstance(call, functools.partial):
        call = call.func
    if call is None or inspect.isclass(call):
        return False
    funcs: list[Any] = [inspect.unwrap(call), type(call).__call__]
    return any(inspect.isgeneratorfunction(func) or inspect.isasyncgenfunction(func) for func in funcs)
