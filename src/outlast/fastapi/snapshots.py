"""Snapshots: dependencies of a task that its request solves, because they need it; the job carries their values.

`Depends(queue.snapshot(get_user))` in a task: whoever adds the task leaves the parameter out. When the response is
about to start, the request solves it as FastAPI does, and the value joins the other arguments. If it cannot be solved,
the client gets FastAPI's own answer (401, 422, …) instead of the response, and none of the request's jobs is committed.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from fastapi import Depends, FastAPI, Security
from starlette.types import Message

from outlast.errors import TaskRefused
from outlast.fastapi.private_route import PrivateRoute, name_of, needs
from outlast.luggage.binding import Parameter

if TYPE_CHECKING:
    from outlast.fastapi.receipt import Receipt

_VALUE = "value"


class Snapshot:
    """A dependency that solves another one: in an endpoint as that would, for a task in the request that adds it.

    Raises TaskRefused when it is made of one that needs what the request has no more when its response starts.
    """

    is_snapshot = True

    def __init__(self, dependency: Callable[..., Any], app: FastAPI, scopes: Sequence[str] = ()) -> None:
        self._dependency = dependency
        self._app = app
        self._scoped: dict[tuple[str, ...], Snapshot] = {tuple(scopes): self}
        self._routes: dict[tuple[str, ...], PrivateRoute] = {}
        self.__qualname__ = f"queue.snapshot({name_of(dependency)})"
        marker = Security(dependency, scopes=scopes) if scopes else Depends(dependency)
        self._value = Parameter(_VALUE, inspect.Parameter.KEYWORD_ONLY, default=marker)
        self.__signature__ = inspect.Signature([self._value.declared])
        self._refuse_what_is_gone()

    def of(self, marker: Any) -> Snapshot:
        """This one with the scopes of a `Security(…, scopes=…)`."""
        scopes = tuple(getattr(marker, "scopes", None) or ())
        if scopes not in self._scoped:
            self._scoped[scopes] = Snapshot(self._dependency, self._app, scopes)
        return self._scoped[scopes]

    async def __call__(self, *, value: Any) -> Any:
        return value

    async def solve(self, receipt: Receipt, receiver: Callable[[Any], None]) -> list[Message]:
        """Pass the value on, as the request of `receipt` has it. Returns the answer to its client if there is none."""
        messages: list[Message] = []
        is_solved = False

        async def take(solved: dict[str, Any]) -> None:
            nonlocal is_solved
            receiver(solved[_VALUE])
            is_solved = True

        async def send(message: Message) -> None:
            messages.append(message)

        scope = receipt.inner
        await self._route(tuple(scope.get("path_params", ())))(scope, take, send)
        return [] if is_solved else messages

    def _route(self, in_path: tuple[str, ...]) -> PrivateRoute:
        """One for each form of path that the app's routes have."""
        if in_path not in self._routes:
            self._routes[in_path] = PrivateRoute(self.__qualname__, [self._value], self._app, in_path)
        return self._routes[in_path]

    def _refuse_what_is_gone(self) -> None:
        for dependant in self._route(()).dependencies:
            for need in needs(dependant):
                if not need.is_there_until_the_end:
                    raise TaskRefused(
                        f"{self.__qualname__} is solved when the response starts, and by then the request has been "
                        f"read: {need.what}; pass the value as an argument"
                    )


async def solve_all(receipt: Receipt) -> list[Message]:
    """Give the jobs of a request the values that only it could solve; each dependency is solved once.

    Returns the answer to its client if one cannot be solved. Raises what a dependency raises, LuggageRefused.
    """
    for snapshot in dict.fromkeys(unsolved.snapshot for unsolved in receipt.unsolved):
        answer = await snapshot.solve(receipt, partial(receipt.complete, snapshot))
        if answer:
            return answer
    return []
