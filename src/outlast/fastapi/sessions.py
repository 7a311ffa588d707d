"""The sessions of requests: which one takes their jobs by default, and what became of those that were on any.

FastAPI does not tell what a request's dependencies came to. So behind each place where a route depends on the one that
`TaskQueue(app, session=…)` names stands a note: a dependency that depends on it in the same way, gets the same object
from FastAPI's cache, and lays it down in the request's receipt.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from fastapi import Depends
from fastapi.dependencies.models import Dependant
from fastapi.requests import HTTPConnection

from outlast import sessions
from outlast.fastapi import routes
from outlast.fastapi.owners import find_owner
from outlast.fastapi.receipt import KEY, Receipt

_FORGOTTEN = (
    "its session was not committed when all was over: end what the session does with commit(), where it is used or "
    "where it is made"
)


def note_sessions(app_routes: Iterable[Any], dependency: Callable[..., Any]) -> None:
    """Put a note behind each place where a route depends on this."""
    for _, dependant in routes.each(app_routes):
        _note(dependant, dependency)


def _note(dependant: Dependant, dependency: Callable[..., Any]) -> None:
    noted: list[Dependant] = []
    for each in dependant.dependencies:
        if isinstance(each.call, _Note):
            continue  # of an earlier start of the app
        noted.append(each)
        if each.call == dependency:
            noted.append(_note_of(each, dependency))
        else:
            _note(each, dependency)
    dependant.dependencies[:] = noted


def _note_of(dependant: Dependant, dependency: Callable[..., Any]) -> Dependant:
    """One that depends on the same thing in the same scope, so that FastAPI's cache has it."""
    return Dependant(
        call=_Note(dependency, dependant.scope),
        path=dependant.path,
        http_connection_param_name="conn",
        dependencies=[replace(dependant, name="session", use_cache=True)],
    )


class _Note:
    """What FastAPI calls with the session that it has solved for the request."""

    def __init__(self, dependency: Callable[..., Any], scope: Any) -> None:
        self._depends = Depends(dependency, scope=scope)

    @property
    def __signature__(self) -> Any:
        """For FastAPI, which looks again where any dependency is overridden: it then sees an endpoint's own notes."""
        keyword = inspect.Parameter.KEYWORD_ONLY
        return inspect.Signature(
            [
                inspect.Parameter("conn", keyword, annotation=HTTPConnection),
                inspect.Parameter("session", keyword, annotation=Any, default=self._depends),
            ]
        )

    async def __call__(self, *, conn: HTTPConnection, session: Any) -> None:
        receipt: Receipt | None = conn.scope.get(KEY)
        if receipt is not None:
            receipt.session = session
            await find_owner(receipt)  # what goes on the session is written before the response starts


def look_after(receipt: Receipt) -> None:
    """Once a request has unwound: say which of its jobs their sessions have not committed, and have the others run."""
    receipt.is_over = True
    sessions.ask_after(receipt.entries, _FORGOTTEN)
