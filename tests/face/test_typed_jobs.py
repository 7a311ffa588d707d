"""A job as a typed resource: what a client generator reads in the OpenAPI, and what the answers are."""

from dataclasses import dataclass
from datetime import date

import pytest
from fastapi import Request
from fastapi.testclient import TestClient
from pydantic import BaseModel

from outlast import AppRefused, BackgroundTasks, TaskRefused
from outlast.fastapi.inline import Inline
from outlast.fastapi.router import _wait_of
from outlast.job import Ended, Line, Step, Succeeded, Told
from outlast.luggage import pack_value


class Report(BaseModel):
    pages: int
    day: date


@dataclass
class Sum:
    total: int


def make_report(pages: int) -> Report:
    return Report(pages=pages, day=date(2031, 1, 1))


def add_up() -> Sum | None: ...


def plain(): ...


class Strange:
    pass


def strange() -> Strange: ...


@pytest.fixture
def client(app, queue):
    @app.post("/reports")
    async def order(tasks: BackgroundTasks, request: Request):
        return queue.accepted(tasks.add_task(make_report, 3), request, task=make_report)

    @app.post("/others")
    async def other(tasks: BackgroundTasks, request: Request):
        return queue.accepted(tasks.add_task(plain), request)

    app.include_router(queue.router_of(make_report), prefix="/reports")
    app.include_router(queue.router_of(add_up), prefix="/sums")
    app.include_router(queue.router, prefix="/jobs")
    return TestClient(app)


def done(queue, result=None, *told):
    worker = Inline(queue).membership

    def settle(store):
        worker.enter(store)
        [job] = store.claim(worker.id, 1)
        store.keep([Told(job.id, job.attempt, *told)] if told else [])
        store.settle([Ended(job.id, job.attempt, Succeeded(None if result is None else pack_value(result)))])

    queue.tell(settle)


# FastAPI 0.121 asks Pydantic in words that are old.
@pytest.mark.filterwarnings("ignore:The `__fields__`")
def test_the_schema_of_a_status_names_the_type_that_the_task_returns(app, client):
    paths = app.openapi()["paths"]
    schemas = app.openapi()["components"]["schemas"]

    def status(path):
        schema = paths[path]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
        return schemas[schema["$ref"].rpartition("/")[2]]["properties"]["result"]

    assert {"$ref": "#/components/schemas/Report"} in status("/reports/{job_id}")["anyOf"]
    assert {"$ref": "#/components/schemas/Sum"} in status("/sums/{job_id}")["anyOf"]
    assert "Report" not in str(status("/jobs/{job_id}"))


# FastAPI 0.121 asks Pydantic in words that are old.
@pytest.mark.filterwarnings("ignore:The `__fields__`")
def test_the_schema_of_the_events_says_how_they_end(app, client):
    responses = app.openapi()["paths"]["/jobs/{job_id}/events"]["get"]["responses"]

    assert set(responses) >= {"200", "204", "404"}
    assert list(responses["200"]["content"]) == ["text/event-stream"]


def test_the_result_of_a_typed_job_is_plain_json(client, queue):
    accepted = client.post("/reports")
    done(queue, Report(pages=3, day=date(2031, 1, 1)))

    status = client.get(accepted.headers["location"]).json()

    assert status["result"] == {"pages": 3, "day": "2031-01-01"}
    assert accepted.headers["location"].endswith(f"/reports/{accepted.json()['id']}")
    assert accepted.json()["events"].endswith(f"/reports/{accepted.json()['id']}/events")


def test_the_router_of_a_task_knows_the_jobs_of_that_task_alone(client):
    job = client.post("/others").json()["id"]

    assert client.get(f"/jobs/{job}").status_code == 200
    assert client.get(f"/reports/{job}").status_code == 404
    assert client.delete(f"/reports/{job}").status_code == 404


def test_a_type_without_a_schema_is_refused_with_the_cure(queue):
    with pytest.raises(TaskRefused, match=r"has no JSON schema.*use queue.router"):
        queue.router_of(strange)


def test_without_the_router_nobody_is_told_where_to_look(app, queue):
    @app.post("/add")
    async def add(tasks: BackgroundTasks, request: Request):
        return queue.accepted(tasks.add_task(plain), request)

    with pytest.raises(AppRefused, match=r"include it: app.include_router\(queue.router"):
        TestClient(app).post("/add")


def test_the_events_of_a_job_that_has_ended_are_told_and_the_stream_ends(client, queue):
    job = client.post("/others").json()["id"]
    now = queue.clock.now()
    text = "failed\nTraceback (most recent call last):\n  File …\nValueError: secret"
    done(queue, None, Step(2, 2, "done", now), [Line(1, now, 40, "app", text)])

    events = client.get(f"/jobs/{job}/events")

    assert [line for line in events.text.splitlines() if line.startswith("event")] == [
        "event: progress",
        "event: log",
        "event: state",
    ]
    assert '"text":"failed"' in events.text
    assert "secret" not in events.text
    last = [line for line in events.text.splitlines() if line.startswith("id: ")][-1].removeprefix("id: ")
    assert client.get(f"/jobs/{job}/events", headers={"Last-Event-ID": last}).status_code == 204
    strange = client.get(f"/jobs/{job}/events", headers={"Last-Event-ID": "9" * 40 + ".1.1.1.1"})
    assert strange.text == events.text


def test_progress_is_in_the_status(client, queue):
    job = client.post("/others").json()["id"]
    assert client.get(f"/jobs/{job}").json()["progress"] is None
    done(queue, None, Step(1, None, "reading", queue.clock.now()), [])

    progress = client.get(f"/jobs/{job}").json()["progress"]

    assert (progress["done"], progress["total"], progress["note"]) == (1, None, "reading")


@pytest.mark.parametrize(
    ("prefer", "seconds"),
    [
        (["wait=5"], 5),
        (["respond-async, wait=10"], 10),
        (["handling=lenient", 'Wait = "7"; foo'], 7),
        (["wait=3600"], 30),
        (["wait=0"], 0),
        (["wait=-1", "wait=3"], 3),
        (["wait=soon"], None),
        (["wait=٣"], None),
        (["return=minimal"], None),
        ([""], None),
        (None, None),
    ],
)
def test_a_preference_is_read_as_its_rfc_says(prefer, seconds):
    assert _wait_of(prefer) == seconds


def test_when_to_ask_again_is_said_of_what_goes_on(client, queue):
    job = client.post("/others").json()["id"]
    later = queue.options(plain, delay=queue.retention).enqueue().id

    assert client.get(f"/jobs/{job}").headers["retry-after"] == "1"
    assert client.get(f"/jobs/{later}").headers["retry-after"] == "60"
    done(queue)
    assert "retry-after" not in client.get(f"/jobs/{job}").headers
