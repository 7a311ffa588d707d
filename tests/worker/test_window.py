"""Metrics and health of a worker on its own, over real HTTP; and of an app, which tells the same."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import urllib.request
from contextlib import closing
from datetime import timedelta
from urllib.error import HTTPError

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from outlast import TaskQueue
from tests.worker.harness import TASKS, House


def free_port() -> int:
    with closing(socket.socket()) as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def fetch(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=20) as answer:
            return answer.status, answer.read().decode()
    except HTTPError as error:
        with error:
            return error.code, error.read().decode()


def samples(text: str) -> dict[tuple[str, ...], float]:
    """By name and the values of the labels that a test looks at."""
    told = ("task", "state", "reason", "le")
    return {
        (sample.name, *(sample.labels[name] for name in told if name in sample.labels)): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.fixture
def port(house: House) -> int:
    house.write("app", TASKS)
    port = free_port()
    opened(house, port)
    return port


def opened(house: House, port: int) -> None:
    """A worker with a window at this port."""
    house.logged(house.worker(children=1, http=f"127.0.0.1:{port}"), "metrics and health")


def test_a_worker_tells_what_it_did_and_goes_on_counting_when_it_is_restarted(house, port):
    """Break it: do not write the tally when the worker leaves."""
    house.ended(house.add("app:work"))
    house.ended(house.add("app:err", max_attempts=1))
    supervisor = house.supervisor()
    os.kill(supervisor, signal.SIGTERM)
    house.until(lambda: not house.everybody(), "the worker has left")
    opened(house, port)
    house.ended(house.add("app:work"))
    house.until(
        lambda: samples(fetch(port, "/metrics")[1])[("outlast_claims_total", "app:work")] == 2, "2 claims"
    )
    told = samples(fetch(port, "/metrics")[1])

    assert told["outlast_jobs_ended_total", "app:work", "succeeded", ""] == 2
    assert told["outlast_jobs_ended_total", "app:err", "failed", "error"] == 1
    assert told["outlast_run_seconds_count", "app:work"] == 2
    assert told["outlast_start_delay_seconds_bucket", "app:work", "+Inf"] == 2
    assert told["outlast_workers",] == 1


def test_a_worker_says_that_it_is_well_and_when_jobs_are_late(house, port):
    def well() -> dict[str, object] | None:
        status, body = fetch(port, "/healthz?late=1m")
        return json.loads(body) if status == 200 else None

    told = house.until(well, "it is well")

    assert (told["status"], told["problems"], told["workers"]) == ("ok", [], 1)
    assert told["claimed_seconds_ago"] < 5
    assert fetch(port, "/healthz?late=soon")[0] == 400
    assert fetch(port, "/")[0] == 404


def test_an_address_that_cannot_be_had_is_told_in_one_line(house, port):
    second = house.worker(children=1, http=f"127.0.0.1:{port}")

    assert second.wait() == 2
    assert f"the worker cannot listen at '127.0.0.1:{port}'" in second.log


def test_an_app_tells_the_same(house):
    """Also of a worker that renews its lease much later. Break it: do not renew with the first claim."""
    house.write("app", TASKS)
    house.worker(children=1, lease=timedelta(hours=1))
    house.ended(house.add("app:work"))
    app = FastAPI()
    queue = TaskQueue(app, store=house.url, worker="external")
    app.include_router(queue.monitor)
    registry = CollectorRegistry()
    registry.register(queue.collector)
    client = TestClient(app)

    house.until(
        lambda: registry.get_sample_value("outlast_claims_total", {"task": "app:work", "queue": "default"}),
        "it",
    )
    answer = client.get("/metrics")

    assert answer.headers["content-type"].startswith("text/plain")
    assert samples(answer.text)["outlast_claims_total", "app:work"] == 1
    house.until(lambda: client.get("/healthz").json()["status"] == "ok", "it is well")
    assert "/metrics" not in app.openapi()["paths"]
    queue.close()


def test_without_prometheus_client_it_says_what_to_install(house, monkeypatch):
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    app = FastAPI()
    queue = TaskQueue(app, store=house.url, worker="external")
    app.include_router(queue.monitor)

    answer = TestClient(app).get("/metrics")

    assert (answer.status_code, answer.text) == (
        501,
        "metrics need prometheus-client here: pip install 'outlast[metrics]'\n",
    )
    assert TestClient(app).get("/healthz").status_code == 503
    queue.close()
