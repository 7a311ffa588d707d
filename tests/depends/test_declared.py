"""What a task may declare, what is refused when it is declared, and what a caller passes."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from fastapi import Body, Cookie, Depends, FastAPI, Header, Security, WebSocket
from fastapi.security import APIKeyHeader, HTTPBasic, OAuth2PasswordBearer
from fastapi.testclient import TestClient

from outlast import BackgroundTasks, LuggageRefused, TaskQueue, TaskRefused
from tests import asgi


def session() -> str:
    return "session"


def token(x_token: Annotated[str, Header()]) -> str:
    return x_token


def page(page: int = 1) -> int:
    return page


def crumb(crumb: Annotated[str, Cookie()]) -> str:
    return crumb


def item(item_id: int) -> int:
    return item_id


def form(form: Annotated[dict[str, Any], Body()]) -> dict[str, Any]:
    return form


def line(socket: WebSocket) -> None: ...


class Search:
    def __init__(self, q: str = "") -> None: ...


bearer = OAuth2PasswordBearer(tokenUrl="token")


def user(credentials: Annotated[str, Depends(bearer)]) -> str:
    return credentials


def below(of: Annotated[str, Depends(user)]) -> str:
    return of


NEEDY = {
    "header": (Depends(token), r"'x_token' of token\(\) is a header"),
    "query": (Depends(page), r"'page' of page\(\) is a query parameter"),
    "cookie": (Depends(crumb), r"'crumb' of crumb\(\) is a cookie"),
    "class": (Depends(Search), r"'q' of Search\(\) is a query parameter"),
    "body": (Depends(form), r"'form' of form\(\) is a part of the body"),
    "socket": (Depends(line), r"'socket' of line\(\) is a WebSocket"),
    "scheme": (Security(bearer), r"OAuth2PasswordBearer reads the client's credentials"),
    "key": (Depends(APIKeyHeader(name="x-key")), r"APIKeyHeader reads the client's credentials"),
    "basic": (Depends(HTTPBasic()), r"HTTPBasic reads the client's credentials"),
    "credentials": (Depends(user), r"OAuth2PasswordBearer reads the client's credentials"),
    "credentials further down": (Depends(below), r"OAuth2PasswordBearer reads the client's credentials"),
}


@pytest.mark.parametrize("kind", NEEDY)
def test_what_needs_a_request_is_refused_when_the_task_is_declared(kind: str, queue: TaskQueue) -> None:
    marker, need = NEEDY[kind]

    def task(n: int, it: Any = marker) -> None: ...

    task.__qualname__ = "task"
    with pytest.raises(
        TaskRefused, match=rf"task\(\) declares 'it' by Depends.*{need}; pass the value"
    ) as refusal:
        queue.task(task)
    assert ("queue.snapshot(" in str(refusal.value)) is (kind not in ("body", "socket"))


def test_it_is_refused_at_the_first_use_of_a_plain_function_too(queue: TaskQueue) -> None:
    with pytest.raises(TaskRefused, match=r"needy\(\) declares 'of' by Depends\(token\)"):
        queue.enqueue(needy, 1)
    assert asgi.jobs(queue) == []


def needy(n: int, of: Annotated[str, Depends(token)]) -> None: ...


def test_one_that_names_what_comes_after_it_is_refused_when_the_app_starts(
    app: FastAPI, queue: TaskQueue
) -> None:
    names: dict[str, Any] = {"Annotated": Annotated, "Depends": Depends, "__name__": __name__}
    exec(
        "from __future__ import annotations\ndef early(n: int, of: Annotated[str, Depends(later)]) -> None: ...",
        names,
    )
    queue.task(names["early"])
    names["later"] = token

    with pytest.raises(TaskRefused, match=r"early\(\) declares 'of' by Depends\(token\)"), TestClient(app):
        pass


def test_a_name_that_is_there_for_type_checkers_only_does_no_harm(queue: TaskQueue) -> None:
    names: dict[str, Any] = {
        "Annotated": Annotated,
        "Depends": Depends,
        "session": session,
        "__name__": __name__,
    }
    exec(
        "from __future__ import annotations\ndef typed(n: Only, of: Annotated[Only, Depends(session)]): ...",
        names,
    )
    task = queue.task(names["typed"])

    assert queue.solve_of(task.func) is not None


def positional(n: int, it: str = Depends(session), /) -> None: ...


def test_a_dependency_by_position_is_refused(queue: TaskQueue) -> None:
    with pytest.raises(TaskRefused, match=r"takes 'it' by its position only.*take the `/`"):
        queue.task(positional)


def opened(
    n: int, it: Annotated[str, Depends(session)], tasks: BackgroundTasks, *, word: str = ""
) -> None: ...


def test_a_caller_passes_the_data_and_nothing_else(queue: TaskQueue) -> None:
    queue.enqueue(opened, 1, word="a")
    with pytest.raises(LuggageRefused, match="gets 'it' from Depends, in the worker; leave it out"):
        queue.enqueue(opened, 1, "session")
    with pytest.raises(LuggageRefused, match="gets 'tasks' from Depends"):
        queue.enqueue(opened, 1, tasks=None)

    (job,) = asgi.jobs(queue)
    assert '"n":1' in job.luggage
    assert "it" not in job.luggage
