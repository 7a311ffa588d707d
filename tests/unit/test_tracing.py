"""The span of an attempt, with OpenTelemetry's real SDK: whose child it is, what it says, and how it ends."""

import json
from contextvars import ContextVar
from datetime import timedelta

import pytest
from opentelemetry import baggage, context, trace
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from outlast import Fail, Snooze, current_job, tracing
from outlast.context import Variables, capture
from outlast.job import Claimed, Succeeded
from outlast.worker import executor
from tests.attempts import QUEUE, in_no_thread

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
CAME = json.dumps({"queue": "mail", "trace": {"traceparent": TRACE, "baggage": "tenant=acme"}})
noted: ContextVar[list] = ContextVar("noted")


@pytest.fixture
def provider(monkeypatch):
    """A provider that the app has for its own; the global one can be set only once in a process."""
    monkeypatch.setattr(tracing, "_followed", provider := TracerProvider())
    return provider


@pytest.fixture
def spans(provider):
    """A function that returns what has ended."""
    exporter = InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return exporter.get_finished_spans


def work():
    pass


def fail():
    raise Fail("no such address")


def snooze():
    raise Snooze(timedelta(seconds=1))


def mute():
    raise Mute


class Mute(Exception):
    def __str__(self):
        raise ValueError("it has no text")


async def look_around():
    return [str(baggage.get_baggage("tenant")), capture("default", None, Variables(), 1000)]


def attempt(func, came=CAME):
    call = executor.begin(
        Claimed("job-1", 2, f"{__name__}:{func.__name__}", "{}", 1, None, None, 0, 0, came), QUEUE
    )
    if not call.is_async:
        return executor.run(call)
    with pytest.raises(StopIteration) as ended:
        executor.arun(call, in_no_thread).send(None)
    return ended.value.value


def test_it_is_a_child_of_the_span_that_the_job_was_added_in_and_linked_to_it(spans):
    attempt(work)

    [span] = spans()
    assert trace.format_trace_id(span.context.trace_id) == "0af7651916cd43dd8448eb211c80319c"
    assert trace.format_span_id(span.parent.span_id) == "b7ad6b7169203331"
    assert [trace.format_span_id(link.context.span_id) for link in span.links] == ["b7ad6b7169203331"]


def test_it_is_named_and_described_by_the_conventions(spans):
    attempt(work)

    [span] = spans()
    assert span.name == f"process {__name__}:work"
    assert span.kind is SpanKind.CONSUMER
    assert span.instrumentation_scope.name == "outlast"
    assert dict(span.attributes) == {
        "messaging.system": "outlast",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": "mail",
        "messaging.message.id": "job-1",
        "code.function.name": f"{__name__}.work",
        "outlast.attempt": 2,
    }
    assert span.status.status_code is StatusCode.UNSET


def test_an_attempt_of_a_job_that_was_added_outside_any_trace_begins_one(spans):
    attempt(work, None)

    [span] = spans()
    assert span.parent is None
    assert span.links == ()
    assert "messaging.destination.name" not in span.attributes


def test_a_failure_is_recorded(spans):
    attempt(fail)

    [span] = spans()
    assert span.status.status_code is StatusCode.ERROR
    assert span.status.description == "outlast.errors.Fail: no such address"
    assert span.attributes["error.type"] == "outlast.errors.Fail"
    [event] = span.events
    assert event.name == "exception"
    assert event.attributes["exception.message"] == "no such address"


def test_to_snooze_is_no_failure(spans):
    attempt(snooze)

    [span] = spans()
    assert span.status.status_code is StatusCode.UNSET
    assert span.events == ()


def test_an_error_without_a_text_ends_the_span_and_stays_the_error_of_the_job(spans):
    outcome = attempt(mute)

    assert len(spans()) == 1
    assert outcome.error.startswith("tests.unit.test_tracing.Mute")


def test_what_the_task_does_goes_on_in_the_trace_with_its_baggage(spans):
    tenant, came = json.loads(attempt(look_around).result)

    [span] = spans()
    assert tenant == "acme"
    carried = json.loads(came)
    assert carried["queue"] == "default"
    assert carried["trace"]["baggage"] == "tenant=acme"
    assert carried["trace"]["traceparent"].split("-")[1:3] == [
        trace.format_trace_id(span.context.trace_id),
        trace.format_span_id(span.context.span_id),
    ]


def test_without_a_provider_the_trace_is_handed_on_all_the_same():
    tenant, came = json.loads(attempt(look_around).result)

    assert tenant == "acme"
    assert json.loads(came)["trace"]["traceparent"] == TRACE


@pytest.mark.parametrize("func", [work, fail, look_around])
def test_afterwards_the_span_is_current_no_more(spans, func):
    before = context.get_current()

    attempt(func)

    assert context.get_current() is before
    assert len(spans()) == 1


def test_outside_a_span_no_trace_travels(provider):
    assert capture("mail", None, Variables(), 1000) is None

    with provider.get_tracer("tests").start_as_current_span("request"):
        assert json.loads(capture("mail", None, Variables(), 1000))["trace"].keys() == {"traceparent"}


@pytest.mark.parametrize("when", ["on_start", "on_end"])
def test_no_task_fails_because_its_telemetry_does(spans, provider, when, caplog):
    class Broken(SpanProcessor):
        pass

    def refuse(*_, **__):
        raise RuntimeError("out of order")

    setattr(Broken, when, refuse)
    provider.add_span_processor(Broken())

    assert attempt(work) == Succeeded()
    assert current_job() is None
    [record] = caplog.records
    assert record.getMessage() == (
        f"span not recorded id=job-1 task={__name__}:work attempt=2: RuntimeError('out of order')"
    )
