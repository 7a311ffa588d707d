"""One trace from the request in the server to the task in the worker, by FastAPI's own instrumentation."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.servers.test_servers import BIN, Site
from tests.worker.harness import House

APP = """
import os
from datetime import timedelta
from pathlib import Path

from fastapi import FastAPI
from opentelemetry import trace

from outlast import BackgroundTasks, RetryPolicy, TaskQueue, current_job

HERE = Path(__file__).parent
tracer = trace.get_tracer("shop")


async def charge(order: int):
    with tracer.start_as_current_span("charge card"):
        pass


def post(order: int):
    with tracer.start_as_current_span("post parcel"):
        if current_job().attempt == 1:
            raise ValueError("no such street")


app = FastAPI(**TELEMETRY)
queue = TaskQueue(app, store=f"sqlite:///{HERE / 'outlast.db'}", children=1)
soon = RetryPolicy(delay=timedelta(milliseconds=1))


@app.post("/orders/{order}")
async def create(order: int, background_tasks: BackgroundTasks):
    background_tasks.add_task(charge, order)
    background_tasks.add_task(queue.options(post, queue="parcels", retry=soon), order)
    return {"server": os.getpid()}
"""
TO_A_FILE = """
import json, os
from pathlib import Path
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult


class ToAFile(SpanExporter):
    def export(self, spans):
        for span in spans:
            told = {**json.loads(span.to_json()), "pid": os.getpid()}
            with open(Path(__file__).parent / "spans", "a") as file:
                file.write(json.dumps(told) + "\\n")
        return SpanExportResult.SUCCESS


provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(ToAFile()))
"""
PROVIDERS = {
    "a provider for the whole process": "trace.set_tracer_provider(provider)\nTELEMETRY = {}\n",
    "a provider of the app's own": "TELEMETRY = {'telemetry': {'tracer_provider': provider}}\n",
}
TRACE = "0af7651916cd43dd8448eb211c80319c"


@pytest.mark.parametrize("provider", PROVIDERS)
def test_from_the_request_to_the_tasks_own_spans_it_is_one_trace(house: House, provider: str) -> None:
    site = Site(house, [BIN / "uvicorn", "main:app", "--port", "PORT"], TO_A_FILE + PROVIDERS[provider] + APP)
    server = site.post("/orders/7")["server"]

    def retried() -> list[dict[str, Any]] | None:
        found = spans(house)
        return found if sum(span["name"] == "process main:post" for span in found) == 2 else None

    found = house.until(retried, "the spans of both attempts")

    [request] = [span for span in found if span["name"] == "POST /orders/{order}"]
    [endpoint] = [span for span in found if span["name"] == "fastapi.endpoint"]
    [charged] = [span for span in found if span["name"] == "process main:charge"]
    attempts = [span for span in found if span["name"] == "process main:post"]
    tasks = [charged, *attempts]
    assert {span["context"]["trace_id"] for span in tasks} == {request["context"]["trace_id"]}
    assert {span["parent_id"] for span in tasks} == {endpoint["context"]["span_id"]}
    assert {link["context"]["span_id"] for span in tasks for link in span["links"]} == {
        endpoint["context"]["span_id"]
    }
    assert {request["pid"], endpoint["pid"]} == {server}
    assert server not in {span["pid"] for span in tasks}
    assert [span["attributes"]["outlast.attempt"] for span in attempts] == [1, 2]
    assert [span["status"]["status_code"] for span in attempts] == ["ERROR", "UNSET"]
    assert {span["attributes"]["messaging.destination.name"] for span in attempts} == {"parcels"}
    assert [event["name"] for event in attempts[0]["events"]] == ["exception"]


def test_the_spans_within_a_task_are_its_children(house: House) -> None:
    source = TO_A_FILE + PROVIDERS["a provider for the whole process"] + APP
    site = Site(house, [BIN / "uvicorn", "main:app", "--port", "PORT"], source)
    site.post("/orders/7")

    def charged() -> dict[str, dict[str, Any]] | None:
        found = {span["name"]: span for span in spans(house)}
        return found if "process main:charge" in found else None

    found = house.until(charged, "the span of the task")
    assert found["charge card"]["parent_id"] == found["process main:charge"]["context"]["span_id"]


def spans(house: House) -> list[dict[str, Any]]:
    """What the processes have exported, whole lines only."""
    path = house.folder / "spans"
    text = path.read_text() if path.exists() else ""
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


# ---- as the environment says


class Collector(ThreadingHTTPServer):
    """What OTLP exporters send their spans to."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.spans: list[Any] = []


class _Handler(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        sent = ExportTraceServiceRequest.FromString(self.rfile.read(int(self.headers["Content-Length"])))
        for resource in sent.resource_spans:
            for scope in resource.scope_spans:
                self.server.spans += scope.spans
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as collector:
        thread = threading.Thread(target=collector.serve_forever)
        thread.start()
        yield collector
        collector.shutdown()
        thread.join()


def test_where_fastapi_exports_by_the_environment_so_does_the_worker(
    house: House, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its spans are sent in batches, the last of them when it leaves."""
    monkeypatch.setenv("FASTAPI_OTEL_AUTO_CONFIGURE", "true")
    monkeypatch.setenv(
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", f"http://127.0.0.1:{collector.server_port}/v1/traces"
    )
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "3600000")
    site = Site(house, [BIN / "uvicorn", "main:app", "--port", "PORT"], "TELEMETRY = {}\n" + APP)
    site.post("/orders/7")
    house.until(lambda: all(job.state.ended for job in house.store.find()), "both jobs to end")

    site.process.terminate()
    house.until(lambda: "process main:post" in {span.name for span in collector.spans}, "the worker's spans")

    [request] = [span for span in collector.spans if span.name == "POST /orders/{order}"]
    tasks = [span for span in collector.spans if span.name.startswith("process ")]
    assert len(tasks) == 3
    assert {span.trace_id for span in tasks} == {request.trace_id}
