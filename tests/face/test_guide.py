"""The endpoints of FastAPI's own guide on background tasks, with one import changed."""

from typing import Annotated

import pytest
from fastapi import Depends, FastAPI
from fastapi.testclient import TestClient

from outlast import BackgroundTasks, TaskQueue

written: list[str] = []


def write_notification(email: str, message=""):
    written.append(f"notification for {email}: {message}")


def write_log(message: str):
    written.append(message)


async def write_async(email: str, message=""):
    written.append(f"async notification for {email}: {message}")


def get_query(background_tasks: BackgroundTasks, q: str | None = None):
    if q:
        message = f"found query: {q}\n"
        background_tasks.add_task(write_log, message)
    return q


def guide() -> FastAPI:
    app = FastAPI()

    @app.post("/send-notification/{email}")
    async def send_notification(email: str, background_tasks: BackgroundTasks):
        background_tasks.add_task(write_notification, email, message="some notification")
        return {"message": "Notification sent in the background"}

    @app.post("/send-multiple-notifications/{email}")
    async def send_multiple_notifications(email: str, background_tasks: BackgroundTasks):
        background_tasks.add_task(write_notification, email, message="first")
        background_tasks.add_task(write_notification, email, message="second")
        return {"message": "Notifications sent in the background"}

    @app.post("/async-send-notification/{email}")
    async def async_send_notification(email: str, background_tasks: BackgroundTasks):
        background_tasks.add_task(write_async, email, message="async")
        return {"message": "Notification sent in the background"}

    @app.post("/send-with-query/{email}")
    async def send_with_query(
        email: str, background_tasks: BackgroundTasks, q: Annotated[str, Depends(get_query)]
    ):
        message = f"message to {email}\n"
        background_tasks.add_task(write_log, message)
        return {"message": "Message sent"}

    return app


@pytest.fixture(params=["with lifespan", "without lifespan"])
def client(request):
    app = guide()
    queue = TaskQueue(app, store="sqlite://", worker="inline")  # after the routes
    written.clear()
    if request.param == "with lifespan":
        with TestClient(app) as client:
            yield client
    else:
        yield TestClient(app)
        queue.close()


def test_one_notification(client):
    answer = client.post("/send-notification/me@example.com")

    assert answer.json() == {"message": "Notification sent in the background"}
    assert written == ["notification for me@example.com: some notification"]


def test_several_run_in_the_order_they_were_added(client):
    client.post("/send-multiple-notifications/me@example.com")

    assert written == ["notification for me@example.com: first", "notification for me@example.com: second"]


def test_a_coroutine_function_is_awaited(client):
    client.post("/async-send-notification/me@example.com")

    assert written == ["async notification for me@example.com: async"]


def test_a_dependency_adds_a_task_of_its_own(client):
    client.post("/send-with-query/me@example.com?q=books")

    assert written == ["found query: books\n", "message to me@example.com\n"]


@pytest.mark.filterwarnings(
    "ignore::pydantic.warnings.PydanticDeprecatedSince20"
)  # of the oldest FastAPI's own
def test_the_parameter_does_not_show_in_the_schema(client):
    operation = client.get("/openapi.json").json()["paths"]["/send-notification/{email}"]["post"]

    assert [parameter["name"] for parameter in operation["parameters"]] == ["email"]
    assert "requestBody" not in operation
