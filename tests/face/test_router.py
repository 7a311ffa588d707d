"""The HTTP face of jobs: status, reasons, cancel, retry; typed, and 404 for what is not there."""

import json

import pytest
from fastapi import Request
from fastapi.testclient import TestClient

from outlast import BackgroundTasks
from outlast.explain import Why
from outlast.fastapi.inline import Inline
from outlast.job import Ended, Erred, Released, Succeeded

UNKNOWN = "01890000-0000-7000-8000-000000000000"


def work(text: str = ""): ...


@pytest.fixture
def client(app, queue):
    @app.post("/reports", status_code=202)
    async def make_report(tasks: BackgroundTasks, request: Request):
        return queue.accepted(tasks.add_task(work, "a secret"), request)

    app.include_router(queue.router, prefix="/jobs")
    return TestClient(app, base_url="http://testserver")


@pytest.fixture
def job(client, queue):
    return queue.job(client.post("/reports").json()["id"])


def claim(queue):
    worker = Inline(queue).membership
    return queue.tell(lambda store: (worker.enter(store), store.claim(worker.id, 1))[1][0])


def end(queue, claimed, outcome):
    queue.tell(lambda store: store.settle([Ended(claimed.id, claimed.attempt, outcome)]))


def test_202_says_where_to_look(client):
    answer = client.post("/reports")

    assert answer.status_code == 202
    assert answer.headers["location"] == f"http://testserver/jobs/{answer.json()['id']}"
    assert client.get(answer.headers["location"]).json()["id"] == answer.json()["id"]


def test_the_status_tells_what_became_of_it_and_not_what_it_was_given(client, queue, job):
    status = client.get(f"/jobs/{job.id}").json()

    assert (status["state"], status["view"], status["attempt"], status["result"]) == (
        "queued",
        "queued",
        0,
        None,
    )
    assert status["task"] == f"{__name__}:work"
    assert "secret" not in json.dumps(status)

    claimed = claim(queue)
    assert client.get(f"/jobs/{job.id}").json()["state"] == "running"

    end(queue, claimed, Succeeded(json.dumps({"pages": 3})))
    status = client.get(f"/jobs/{job.id}").json()
    assert (status["state"], status["attempt"], status["result"]) == ("succeeded", 1, {"pages": 3})


def test_a_failed_job_says_why_and_can_be_retried(client, queue, job):
    assert client.post(f"/jobs/{job.id}/retry").status_code == 409
    end(queue, claim(queue), Erred("ValueError: no", "Traceback", again=False))

    status = client.get(f"/jobs/{job.id}").json()
    assert (status["state"], status["reason"], status["error"]) == ("failed", "error", "ValueError: no")
    assert "Traceback" not in json.dumps(status)

    answer = client.post(f"/jobs/{job.id}/retry")
    assert (answer.status_code, answer.json()["state"]) == (202, "queued")


def test_a_queued_job_is_cancelled_at_once(client, job):
    answer = client.delete(f"/jobs/{job.id}")

    assert (answer.status_code, answer.json()["state"]) == (200, "cancelled")
    again = client.delete(f"/jobs/{job.id}")
    assert (again.status_code, again.json()["detail"]) == (409, "the job has ended already: cancelled")


def test_a_running_job_is_asked_to_stop(client, queue, job):
    claim(queue)

    answer = client.delete(f"/jobs/{job.id}")

    assert (answer.status_code, answer.json()["state"], answer.json()["view"]) == (
        202,
        "running",
        "cancelling",
    )


def test_it_says_why_a_job_does_not_run(client, queue, job):
    queue.tell(lambda store: store.pause("default"))

    told = client.get(f"/jobs/{job.id}/explain").json()

    assert (told["id"], told["state"], told["view"]) == (job.id, "queued", "queued")
    assert [reason["why"] for reason in told["reasons"]] == ["paused", "no_worker"]
    assert told["reasons"][0] == {
        "why": "paused",
        "text": "Its queue, default, is paused.",
        "cure": "outlast queues resume default",
        "until": None,
    }


def test_what_it_says_quotes_no_argument(client, queue, job):
    """A note says what does not fit, in words that may hold the value."""
    end(queue, claim(queue), Released("cannot take 'a secret'", 30_000_000, begun=False))

    told = client.get(f"/jobs/{job.id}/explain")

    assert told.json()["reasons"][0]["why"] == "not_due"
    assert "secret" not in told.text


@pytest.mark.parametrize("job_id", [UNKNOWN, "no-id", "%00"])
@pytest.mark.parametrize(
    ("method", "path"), [("GET", ""), ("GET", "/explain"), ("DELETE", ""), ("POST", "/retry")]
)
def test_an_unknown_id_is_not_found(client, job, method, path, job_id):
    answer = client.request(method, f"/jobs/{job_id}{path}")

    assert answer.status_code == 404
    assert "detail" in answer.json()


@pytest.mark.filterwarnings(
    "ignore::pydantic.warnings.PydanticDeprecatedSince20"
)  # of the oldest FastAPI's own
def test_it_is_typed_in_openapi(client):
    schema = client.get("/openapi.json").json()
    status = schema["components"]["schemas"]["JobStatus"]
    paths = {path: set(methods) for path, methods in schema["paths"].items()}

    assert paths["/jobs/{job_id}"] == {"get", "delete"}
    assert paths["/jobs/{job_id}/retry"] == {"post"}
    assert paths["/jobs/{job_id}/explain"] == {"get"}
    assert set(schema["components"]["schemas"]["JobExplained"]["properties"]) == {
        "id",
        "state",
        "view",
        "reasons",
    }
    assert schema["components"]["schemas"]["Why"]["enum"] == list(Why)
    assert set(schema["paths"]["/jobs/{job_id}"]["delete"]["responses"]) == {
        "200",
        "202",
        "404",
        "409",
        "422",
    }
    assert schema["components"]["schemas"]["State"]["enum"] == [
        "queued",
        "running",
        "succeeded",
        "failed",
        "cancelled",
    ]
    assert {"id", "state", "result", "error"} <= set(status["properties"])
    assert "description" in status["properties"]["view"]


def test_the_router_is_made_once(queue):
    assert queue.router is queue.router
