"""What a user says of handover, and what is refused: no broker is asked."""

import subprocess
import sys
from datetime import date, timedelta

import celery
import dramatiq
import pytest
from dramatiq.brokers.stub import StubBroker
from redis import Redis

from outlast import LuggageRefused, OptionRefused, RetryPolicy, TaskQueue, TaskRefused
from outlast.handover import CeleryHandover, DramatiqHandover, RQHandover


def handover_to_celery(**options):
    return CeleryHandover(celery.Celery("app", broker="redis://127.0.0.1:1/0"), **options)


@pytest.fixture
def store(tmp_path):
    return f"sqlite:///{tmp_path / 'outlast.db'}"


def shape(queue):
    return [(each.queue, each.engine, each.is_native) for each in queue.handed]


def test_one_handover_stands_for_every_queue(store):
    handover = handover_to_celery()
    queue = TaskQueue(store=store, handover=handover)

    assert shape(queue) == [("celery", "celery", True), (None, "celery", False)]
    assert queue.handover_of("mail") is handover


def test_queues_may_be_handed_over_each_in_its_own_way(store):
    mail, rest = handover_to_celery(in_flight=7, lease=timedelta(minutes=5)), RQHandover(Redis())
    queue = TaskQueue(store=store, handover={"mail": mail, "reports": rest, "default": None})

    assert (queue.handover_of("mail"), queue.handover_of("reports"), queue.handover_of("default")) == (
        mail,
        rest,
        None,
    )
    [handed] = [each for each in queue.handed if each.queue == "mail"]
    assert (handed.in_flight, handed.lease) == (7, timedelta(minutes=5))


def test_two_of_one_engine_have_queues_of_their_own_for_its_tasks(store):
    queue = TaskQueue(store=store, handover={"a": handover_to_celery(), "b": handover_to_celery()})

    assert [each.queue for each in queue.handed if each.is_native] == ["celery", "celery2"]


def test_one_handover_may_stand_for_several_queues(store):
    handover = handover_to_celery()
    queue = TaskQueue(store=store, handover={"a": handover, "b": handover})

    assert [each.queue for each in queue.handed] == ["celery", "a", "b"]


@pytest.mark.parametrize("options", [{"in_flight": 0}, {"lease": timedelta(0)}], ids=str)
def test_what_makes_no_sense_is_refused(options):
    with pytest.raises(OptionRefused, match=next(iter(options))):
        handover_to_celery(**options)


def test_a_handover_belongs_to_one_task_queue(store):
    handover = handover_to_celery()
    first = TaskQueue(store=store, handover=handover)
    with pytest.raises(OptionRefused, match="make another"):
        TaskQueue(store=f"{store}.other", handover=handover)
    assert handover.queue is first


def test_a_celery_app_has_one_handover():
    app = celery.Celery("app")
    handover = CeleryHandover(app)
    with pytest.raises(OptionRefused, match="has a CeleryHandover already"):
        CeleryHandover(app)
    assert handover.app is app


def test_queues_that_tasks_name_are_known_to_dramatiq(store):
    broker = StubBroker()
    queue = TaskQueue(store=store, handover=DramatiqHandover(broker))
    queue.task(queue="reports")(double)

    assert {"default", "reports"} <= broker.get_declared_queues()


# ---- the engines' own tasks


def double(value, fail=False):
    return value * 2


@pytest.fixture(params=["celery", "rq", "dramatiq"])
def native(request, store):
    """A TaskQueue, and a task of its engine's own."""
    if request.param == "celery":
        handover = handover_to_celery()
        return TaskQueue(store=store, handover=handover), handover.app.task(name="app.double")(double)
    if request.param == "rq":
        handover = RQHandover(Redis())
        return TaskQueue(store=store, handover=handover), handover.rq_function(double, queue="low")
    broker = StubBroker()
    return TaskQueue(store=store, handover=DramatiqHandover(broker)), dramatiq.actor(double, broker=broker)


def test_an_engines_own_task_is_a_job_of_a_queue_named_after_it(native):
    queue, task = native
    row = queue.prepare(task, (2,), {"fail": True})
    engine = queue.handed[0].engine

    assert (row.queue, row.task.partition("/")[0]) == (engine, engine)
    assert row.luggage.startswith('{"value":2,"fail":true')


@pytest.mark.parametrize(
    "options",
    [{"timeout": timedelta(1)}, {"queue": "x"}, {"retry": RetryPolicy(factor=2)}, {"max_attempts": 2}],
    ids=str,
)
def test_what_the_engine_decides_cannot_be_said_here(native, options):
    queue, task = native
    with pytest.raises(OptionRefused, match="decides that for its own task"):
        queue.prepare(queue.options(task, **options), (2,), {})


def test_when_it_is_handed_over_can(native):
    queue, task = native
    row = queue.prepare(queue.options(task, delay=timedelta(minutes=1), priority=3), (2,), {})

    assert (row.run_at - row.created_at, row.priority) == (60_000_000, 3)


def test_a_call_that_does_not_fit_is_refused(native):
    queue, task = native
    with pytest.raises(LuggageRefused):
        queue.prepare(task, (), {})


def test_what_dramatiq_cannot_carry_is_refused(store):
    broker = StubBroker()
    queue, actor = (
        TaskQueue(store=store, handover=DramatiqHandover(broker)),
        dramatiq.actor(double, broker=broker),
    )
    with pytest.raises(LuggageRefused, match="cannot carry this"):
        queue.prepare(actor, (date(2026, 1, 1),), {})


def test_a_task_of_an_engine_that_nothing_is_handed_over_to_is_none_of_ours(store):
    task = celery.Celery("other").task(name="other.double")(double)
    with pytest.raises(TaskRefused):
        TaskQueue(store=store, handover=handover_to_celery()).prepare(task, (2,), {})


# ---- what is loaded


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_the_package_loads_no_engine():
    ran = run(
        "import sys, outlast.handover; print({'celery', 'rq', 'dramatiq', 'redis', 'pika'} & set(sys.modules))"
    )

    assert ran.stdout.strip() == "set()", ran.stderr


@pytest.mark.parametrize("name", ["CeleryHandover", "RQHandover", "DramatiqHandover"])
def test_an_engine_that_is_not_installed_says_what_to_install(name):
    engine = name.removesuffix("Handover").lower()
    ran = run(f"import sys; sys.modules[{engine!r}] = None; from outlast.handover import {name}")

    assert f"pip install 'outlast[{engine}]'" in ran.stderr
