"""Whose a job is: what the queue's own dependency says, in the request that adds it and in each that asks for it."""

from typing import Annotated

import pytest
from fastapi import FastAPI, Header, HTTPException, Request
from fastapi.responses import StreamingResponse
from fastapi.testclient import TestClient

from outlast import BackgroundTasks, OptionRefused, TaskQueue, TaskRefused

VERBS = [("GET", ""), ("GET", "/explain"), ("GET", "/events"), ("DELETE", ""), ("POST", "/retry")]


def work(): ...


async def visitor(x_user: Annotated[str | None, Header()] = None) -> str | int | None:
    if x_user == "nobody":
        raise HTTPException(401, "who are you?")
    return int(x_user) if x_user and x_user.isdecimal() else x_user


@pytest.fixture
def app():
    return FastAPI()


@pytest.fixture
def queue(app, store):
    queue = TaskQueue(app, store=store, worker="external", owner=visitor)
    yield queue
    queue.close()


@pytest.fixture
def client(app, queue):
    @app.post("/add")
    async def add(tasks: BackgroundTasks):
        return tasks.add_task(work).id

    @app.post("/stated")
    async def stated(tasks: BackgroundTasks):
        return tasks.add_task(queue.options(work, owner="bob")).id

    @app.post("/enqueued")
    async def enqueued():
        return (await queue.aenqueue(work)).id

    @app.post("/enqueued-in-a-thread")
    def enqueued_in_a_thread():
        return queue.enqueue(work).id

    @app.post("/late")
    async def late(tasks: BackgroundTasks):
        async def body():
            yield f'"{tasks.add_task(work).id}"'

        return StreamingResponse(body())

    app.include_router(queue.router, prefix="/jobs")
    return TestClient(app)


def added(client, path="/add", user="ada"):
    answer = client.post(path, headers={"x-user": user} if user else {})
    assert answer.status_code == 200
    return answer.json()


@pytest.mark.parametrize("path", ["/add", "/enqueued", "/enqueued-in-a-thread", "/late"])
def test_a_job_is_theirs_who_made_the_request_however_it_was_added(client, queue, path):
    """Break it: leave `owned` out of the door, or of `_aenqueue`, `_enqueue`, `_commit_waiting`."""
    assert queue.job(added(client, path)).record().owner == "ada"


def test_an_owner_may_be_a_number_and_may_be_stated(client, queue):
    assert queue.job(added(client, user="7")).record().owner == "7"
    assert queue.job(added(client, "/stated")).record().owner == "bob"
    assert queue.job(queue.options(work, owner="eve").enqueue().id).record().owner == "eve"


@pytest.mark.parametrize(("method", "path"), VERBS)
def test_to_a_stranger_a_job_is_not_there_in_any_verb(client, queue, method, path):
    """Break it: use `find` in place of `find_own`, or answer a stranger in other words."""
    job = added(client)
    gone = "01890000-0000-7000-8000-000000000000"

    answers = [client.request(method, f"/jobs/{job}{path}", headers={"x-user": user}) for user in ("bob", "")]
    of_none = client.request(method, f"/jobs/{gone}{path}", headers={"x-user": "bob"})

    assert [answer.status_code for answer in (*answers, of_none)] == [404] * 3
    assert {answer.text.replace(job, gone) for answer in answers} == {of_none.text}
    assert queue.job(job).state == "queued"
    assert client.request(method, f"/jobs/{job}{path}", headers={"x-user": "nobody"}).status_code == 401


def test_its_owner_sees_it_and_may_cancel_it(client):
    job, ada = added(client), {"x-user": "ada"}

    assert client.get(f"/jobs/{job}", headers=ada).json()["state"] == "queued"
    assert client.get(f"/jobs/{job}/explain", headers=ada).status_code == 200
    assert client.delete(f"/jobs/{job}", headers=ada).json()["state"] == "cancelled"
    assert client.post(f"/jobs/{job}/retry", headers=ada).json()["state"] == "queued"


@pytest.mark.parametrize("user", [None, "nobody"])
def test_a_job_of_nobody_is_shown_to_nobody(client, queue, user):
    """Somebody without a name does not own what others without a name have added."""
    job = added(client, user=user)

    assert queue.job(job).record().owner is None
    assert client.get(f"/jobs/{job}").status_code == 404


def test_what_an_owner_dependency_returns_must_be_an_id(app, store):
    queue = TaskQueue(app, store=store, worker="external", owner=lambda: {"name": "ada"})

    @app.post("/add")
    async def add(tasks: BackgroundTasks):
        tasks.add_task(work)

    with TestClient(app) as client, pytest.raises(OptionRefused, match="owner= returned dict"):
        client.post("/add")
    queue.close()


def test_an_owner_that_needs_the_body_is_refused_at_the_start(app, store):
    async def of_body(request: Request, body: dict): ...

    queue = TaskQueue(app, store=store, worker="external", owner=of_body)

    with pytest.raises(TaskRefused, match="a part of the body"), TestClient(app):
        pass
    queue.close()


def test_overrides_hold_for_the_owner_too(app, client, queue):
    app.dependency_overrides[visitor] = lambda: "tester"

    job = added(client, user=None)

    assert queue.job(job).record().owner == "tester"
    assert client.get(f"/jobs/{job}").status_code == 200
