"""What travels with a job beside its arguments: written, or refused, where it is added, and read in a worker."""

import asyncio
import json
import logging
import subprocess
import sys
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import date

import pytest

from outlast import LuggageMisfit, LuggageRefused, LuggageTooLarge, OptionRefused, current_job, request_id
from outlast.context import Variables, capture, read
from outlast.job import Claimed, Released
from outlast.queue import TaskQueue
from outlast.worker import executor
from outlast.worker.surroundings import CurrentJob
from tests.attempts import in_no_thread
from tests.contract.making import worker_record

tenant: ContextVar[object] = ContextVar("tenant")
locale: ContextVar[object] = ContextVar("locale", default="en")
LIMIT = 1_000_000
REGISTERS = TaskQueue(store="sqlite://", worker="external", context=[tenant])


@dataclass
class Tenant:
    name: str
    since: date


@pytest.fixture
def acme():
    token = tenant.set(Tenant("acme", date(2026, 1, 1)))
    yield tenant.get()
    tenant.reset(token)


def look():
    assert tenant.get() == Tenant("acme", date(2026, 1, 1))


def test_where_there_is_nothing_nothing_is_written():
    assert capture("default", None, Variables(), LIMIT) is None
    assert capture("default", None, Variables([tenant, locale]), LIMIT) is None
    assert read(None, Variables([tenant]), "id").values == ()


@pytest.mark.usefixtures("acme")
def test_a_variable_arrives_equal_and_one_that_is_not_set_is_left_out():
    variables = Variables([tenant, locale])

    came = read(capture("default", "7f3c", variables, LIMIT), variables, "id")

    assert came.request == "7f3c"
    assert dict(came.values) == {
        tenant: Tenant("acme", date(2026, 1, 1)),
        request_id.current: "7f3c",
    }


@pytest.mark.parametrize(
    "value", [None, 0.1, 'quo"te\\', "\ud800", {"$": [1]}, float("inf"), 2**80, (1, {2})]
)
def test_whatever_travels_as_an_argument_travels_as_a_variable(value):
    variables = Variables([tenant])
    token = tenant.set(value)
    try:
        context = capture("default", None, variables, LIMIT)
    finally:
        tenant.reset(token)

    [(variable, found)] = read(context, variables, "id").values
    assert variable is tenant
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("value", "error", "told"),
    [
        (object(), LuggageRefused, "cannot carry the context variable 'tenant'"),
        ("x" * 2000, LuggageTooLarge, "the context variable 'tenant'"),
    ],
)
def test_what_cannot_travel_is_refused_where_the_job_is_added(value, error, told):
    queue = TaskQueue(store="sqlite://", worker="inline", context=[tenant], payload_limit=1000)
    token = tenant.set(value)
    try:
        with pytest.raises(error, match=told):
            queue.prepare(look, (), {})
    finally:
        tenant.reset(token)


@pytest.mark.parametrize("given", [tenant, "tenant", ["tenant"], None, 5])
def test_what_is_no_list_of_variables_is_refused(given):
    with pytest.raises(OptionRefused, match=r"give a list of contextvars\.ContextVar objects"):
        TaskQueue(store="sqlite://", worker="inline", context=given)


def test_two_variables_of_one_name_are_refused():
    with pytest.raises(OptionRefused, match="two variables are named 'tenant'"):
        Variables([tenant, ContextVar("tenant")])


def test_the_same_variable_twice_is_no_fault():
    Variables([tenant, tenant])


def test_a_variable_that_this_code_does_not_register_is_told_once(caplog):
    context = '{"variables":{"gone":1,"tenant":2}}'

    for job in ("one", "two"):
        came = read(context, Variables([tenant]), job)
        assert dict(came.values) == {tenant: 2}

    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage() == (
        "context variable 'gone' not set: this code does not register it; first carried by id=one"
    )


def test_a_variable_that_this_code_cannot_read_lets_the_job_wait_for_code_that_can():
    context = '{"variables":{"tenant":{"$":["dataclass","nowhere:Tenant",1,{}]}}}'
    job = Claimed("id", 1, f"{__name__}:look", "{}", 0, None, None, 0, 0, context)

    with pytest.raises(LuggageMisfit, match="the context variable 'tenant'"):
        read(context, Variables([tenant]), "id")
    outcome = executor.begin(job, REGISTERS)
    assert isinstance(outcome, Released)
    assert "the context variable 'tenant'" in (outcome.note or "")
    assert not outcome.begun


@pytest.mark.usefixtures("acme")
@pytest.mark.parametrize("way", ["enqueue_many", "aenqueue_many"])
def test_many_jobs_enqueued_at_once_each_carry_it(way):
    queue = TaskQueue(store="sqlite://", worker="inline", context=[tenant])

    if way == "enqueue_many":
        queue.enqueue_many(look, [(), ()])
    else:
        asyncio.run(queue.aenqueue_many(look, [(), ()]))

    jobs = queue.tell(claimed)
    assert len({job.context for job in jobs}) == 1
    assert [json.loads(job.context).keys() for job in jobs] == [{"variables"}] * 2
    queue.close()


def claimed(store):
    store.enter(worker_record("w1", store.clock))
    return store.claim("w1", 10)


@pytest.mark.usefixtures("acme")
@pytest.mark.parametrize("task", ["look_at", "alook_at", "fail_at"])
def test_after_an_attempt_everything_is_as_it_was_before(task):
    """Inline, the code around it goes on in the same context."""
    context = '{"request":"7f3c","variables":{"tenant":"globex"}}'
    job = Claimed("id", 1, f"{__name__}:{task}", "{}", 0, None, None, 0, 0, context)

    call = executor.begin(job, REGISTERS)
    seen.clear()
    if call.is_async:
        with pytest.raises(StopIteration):
            executor.arun(call, in_no_thread).send(None)
    else:
        executor.run(call)

    assert seen == [("globex", "7f3c", current_job_of(job))]
    assert (tenant.get(), request_id.current.get(), current_job()) == (
        Tenant("acme", date(2026, 1, 1)),
        None,
        None,
    )


seen: list[tuple[object, ...]] = []


def current_job_of(job):
    return CurrentJob(job.id, job.attempt, job.task, job.failures, "7f3c")


def look_at():
    seen.append((tenant.get(), request_id.current.get(), current_job()))


async def alook_at():
    look_at()


def fail_at():
    look_at()
    raise ValueError


# ---- the id of the request


@pytest.mark.parametrize(
    "value", [b"7f3c", b"a" * 128, b"01890a5d-ac96-774b-bcce-b302099a8057", b"Root=1-67/+@a:b._c"]
)
def test_a_sane_request_id_is_taken_as_it_is(value):
    assert request_id.given([(b"host", b"test"), (b"X-Request-ID", value)]) == value.decode()


@pytest.mark.parametrize(
    "value", [b"", b"a" * 129, b"two words", b'quo"te', b"line\nbreak", b"back\\slash", "ü".encode(), b"%s{}"]
)
def test_one_that_would_spoil_a_log_line_is_not(value):
    assert request_id.given([(b"x-request-id", value)]) is None


def test_a_log_line_ends_with_it_where_there_is_one():
    assert request_id.told('{"request":"7f3c"}') == " request=7f3c"
    assert request_id.told('{"variables":{}}') == request_id.told(None) == ""


# ---- what it costs


def test_no_process_loads_opentelemetry_because_of_us(tmp_path):
    code = (
        "import sys; from outlast.queue import TaskQueue; import work\n"
        "queue = TaskQueue(store='sqlite://', worker='external')\n"
        "queue.enqueue(work.work)\n"
        "from outlast.worker import executor; from outlast.job import Claimed\n"
        "call = executor.begin(Claimed('id', 1, 'work:work', '{}', 0, None, None, 0, 0, '{\"trace\":{}}'), queue)\n"
        "assert executor.run(call).result is None; queue.close()\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    (tmp_path / "work.py").write_text("def work(): pass\n")

    told = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60
    )

    assert told.stdout == "[]\n"
