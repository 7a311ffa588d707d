"""What a task takes from the request that adds it: solved there by FastAPI, carried as any argument.

Broken on purpose, each of these makes tests here fail:
 - in `Passage._solve`, let an answer pass: the client gets 200 for a job that lacks its user;
 - in `snapshots.solve_all`, solve for each job: a dependency runs twice in a request;
 - in `queue._refuse_unsolved`, return at once: a job without its user is committed and never fits.
"""

from __future__ import annotations

import threading
from typing import Annotated, Any

import pytest
from fastapi import Body, Cookie, Depends, FastAPI, Header, HTTPException, Request, Security, WebSocket
from fastapi.responses import JSONResponse, StreamingResponse
from fastapi.security import OAuth2PasswordBearer, SecurityScopes
from fastapi.testclient import TestClient
from pydantic import BaseModel

from outlast import BackgroundTasks, LuggageRefused, TaskQueue, TaskRefused
from outlast.luggage import Signature
from tests import asgi

# One for all tests here, because a task is declared where its module is: its store is each test's own.
queue_of_module = TaskQueue(FastAPI(), store="sqlite://", worker="external")
seen: list[str] = []


class User(BaseModel):
    name: str


class Paid(User):
    plan: str


bearer = OAuth2PasswordBearer(tokenUrl="token")


def get_user(credentials: Annotated[str, Depends(bearer)]) -> User:
    seen.append(credentials)
    if credentials == "stranger":
        raise HTTPException(401, "who are you?", {"WWW-Authenticate": "Bearer"})
    if credentials == "broken":
        raise LookupError("the database of users is broken")
    if credentials == "live":
        return threading.Lock()  # type: ignore[return-value]
    return Paid(name=credentials, plan="gold")


def get_page(page: int, crumb: Annotated[str, Cookie()] = "none") -> list[Any]:
    return [page, crumb]


def get_item(item: int) -> int:
    return item


def scoped(scopes: SecurityScopes, request: Request) -> str:
    return f"{scopes.scope_str} for {request.client.host if request.client else None}"


CurrentUser = Annotated[User, Depends(queue_of_module.snapshot(get_user))]


def audit(action: str, user: CurrentUser) -> None: ...


def note(user: CurrentUser, page: Annotated[Any, Depends(queue_of_module.snapshot(get_page))]) -> None: ...


def of_item(it: int = Depends(queue_of_module.snapshot(get_item))) -> None: ...


def of_scopes(it: Annotated[str, Security(queue_of_module.snapshot(scoped), scopes=["read"])]) -> None: ...


@pytest.fixture(autouse=True)
def _nothing_seen() -> None:
    seen.clear()


@pytest.fixture
def client(app: FastAPI, queue: TaskQueue) -> TestClient:
    @app.get("/{item}")
    async def endpoint(item: int, tasks: BackgroundTasks, task: str = "audit") -> str:
        calls = {
            "audit": lambda: tasks.add_task(audit, "look"),
            "two": lambda: [tasks.add_task(audit, "look"), tasks.add_task(audit, action="buy")],
            "given": lambda: tasks.add_task(audit, "look", User(name="given")),
            "note": lambda: tasks.add_task(note),
            "item": lambda: tasks.add_task(of_item),
            "scopes": lambda: tasks.add_task(of_scopes),
        }
        calls[task]()
        return "response"

    return TestClient(app, raise_server_exceptions=False)


def ask(client: TestClient, who: str | None = "ann", item: int = 7, **query: Any) -> Any:
    headers = {} if who is None else {"Authorization": f"Bearer {who}"}
    return client.get(f"/{item}", params=query, headers=headers)


def arguments(queue: TaskQueue, func: Any) -> list[dict[str, Any]]:
    return [Signature.of(func).unpack(job.luggage)[1] for job in asgi.jobs(queue)]


def test_the_request_solves_it_and_the_job_carries_its_value(client: TestClient, queue: TaskQueue) -> None:
    assert ask(client).text == '"response"'
    (given,) = arguments(queue, audit)
    assert given == {"action": "look", "user": Paid(name="ann", plan="gold")}


def test_it_is_solved_once_for_all_jobs_of_a_request(client: TestClient, queue: TaskQueue) -> None:
    ask(client, task="two")
    assert [each["user"].name for each in arguments(queue, audit)] == ["ann", "ann"]
    assert seen == ["ann"]


def test_several_of_one_task(client: TestClient, queue: TaskQueue) -> None:
    client.cookies["crumb"] = "c"
    assert ask(client, task="note", page=4).status_code == 200
    assert arguments(queue, note) == [{"user": Paid(name="ann", plan="gold"), "page": [4, "c"]}]


def test_path_parameters_and_scopes_are_there(client: TestClient, queue: TaskQueue) -> None:
    ask(client, task="item", item=12)
    assert arguments(queue, of_item) == [{"it": 12}]


def test_security_scopes_and_the_client_are_there(client: TestClient, queue: TaskQueue) -> None:
    ask(client, task="scopes")
    assert arguments(queue, of_scopes) == [{"it": "read for testclient"}]


def test_overrides_hold(client: TestClient, app: FastAPI, queue: TaskQueue) -> None:
    queue_of_module.app.dependency_overrides[get_user] = lambda: User(name="overridden")
    try:
        ask(client, who=None)
    finally:
        queue_of_module.app.dependency_overrides.clear()
    assert arguments(queue, audit) == [{"action": "look", "user": User(name="overridden")}]


def test_a_caller_may_pass_it_and_then_nothing_is_solved(client: TestClient, queue: TaskQueue) -> None:
    assert ask(client, who=None, task="given").status_code == 200
    assert arguments(queue, audit) == [{"action": "look", "user": User(name="given")}]
    assert seen == []


def test_a_refusal_is_the_answer_and_nothing_is_committed(
    client: TestClient, queue: TaskQueue, caplog: pytest.LogCaptureFixture
) -> None:
    answer = ask(client, who="stranger")
    assert (answer.status_code, answer.json()) == (401, {"detail": "who are you?"})
    assert answer.headers["www-authenticate"] == "Bearer"
    assert asgi.jobs(queue) == []
    assert "1 job(s) of GET /7 discarded" in caplog.text
    assert "answered 401" in caplog.text


def test_missing_credentials_and_invalid_parameters_are_answered_as_fastapi_does(
    client: TestClient, queue: TaskQueue
) -> None:
    assert ask(client, who=None).status_code == 401
    invalid = ask(client, task="note", page="x")
    assert invalid.status_code == 422
    assert invalid.json()["detail"][0]["loc"] == ["query", "page"]
    assert asgi.jobs(queue) == []


def test_the_apps_own_handlers_word_the_answer(client: TestClient, app: FastAPI, queue: TaskQueue) -> None:
    @app.exception_handler(HTTPException)
    async def own(request: Request, error: HTTPException) -> JSONResponse:
        return JSONResponse({"own": error.detail}, 418)

    answer = ask(client, who="stranger")
    assert (answer.status_code, answer.json()) == (418, {"own": "who are you?"})


@pytest.mark.parametrize("who", ["broken", "live"])
def test_an_error_in_it_is_an_error_of_the_request(client: TestClient, queue: TaskQueue, who: str) -> None:
    """An error of the dependency's own, and a value that cannot be carried."""
    assert ask(client, who=who).status_code == 500
    assert asgi.jobs(queue) == []


def test_where_no_request_can_solve_it_the_caller_must_pass_it(queue: TaskQueue) -> None:
    with pytest.raises(LuggageRefused, match=r"audit\(\) takes 'user' from the request.*pass it: user=…"):
        queue.enqueue(audit, "look")
    with pytest.raises(LuggageRefused, match="pass it: user=…"):
        queue.enqueue_many(audit, [("look",)])
    queue.enqueue(audit, "look", user=User(name="script"))
    assert arguments(queue, audit) == [{"action": "look", "user": User(name="script")}]


def test_once_the_response_has_started_it_must_be_passed(app: FastAPI, queue: TaskQueue) -> None:
    refused: list[str] = []

    @app.get("/")
    async def stream(tasks: BackgroundTasks) -> StreamingResponse:
        async def lines() -> Any:
            yield "a"
            try:
                tasks.add_task(audit, "look")
            except LuggageRefused as error:
                refused.append(str(error))

        return StreamingResponse(lines())

    TestClient(app).get("/")
    assert "pass it: user=…" in refused[0]


def test_it_is_solved_from_the_request_as_the_endpoint_has_it(app: FastAPI, queue: TaskQueue) -> None:
    """A middleware may pass on a copy of the scope."""

    class Copies:
        def __init__(self, app: Any) -> None:
            self.app = app

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            await self.app(dict(scope), receive, send)

    app.add_middleware(Copies)

    @app.get("/{item}")
    async def endpoint(item: int, tasks: BackgroundTasks) -> None:
        tasks.add_task(of_item)

    assert TestClient(app).get("/5").status_code == 200
    assert arguments(queue, of_item) == [{"it": 5}]


def test_in_an_endpoint_it_is_the_dependency_itself(app: FastAPI, queue: TaskQueue) -> None:
    @app.get("/me")
    async def me(user: CurrentUser) -> User:
        return user

    client = TestClient(app)
    assert client.get("/me", headers={"Authorization": "Bearer ann"}).json() == {"name": "ann"}
    assert client.get("/me").status_code == 401


def body(form: Annotated[dict[str, Any], Body()]) -> None: ...


def line(socket: WebSocket) -> None: ...


@pytest.mark.parametrize(("dependency", "need"), [(body, "part of the body"), (line, "is a WebSocket")])
def test_what_has_been_read_by_then_is_refused(queue: TaskQueue, dependency: Any, need: str) -> None:
    with pytest.raises(TaskRefused, match=rf"by then the request has been read: .*{need}; pass the value"):
        queue.snapshot(dependency)


def get_tenant(x_tenant: Annotated[str, Header()]) -> str:
    return x_tenant


def test_one_dependency_has_one_snapshot(queue: TaskQueue) -> None:
    assert queue.snapshot(get_tenant) is queue.snapshot(get_tenant)
