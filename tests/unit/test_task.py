"""Options: what makes sense, what is refused and how; tasks as the functions they wrap."""

import inspect
from dataclasses import fields
from datetime import UTC, datetime, timedelta, timezone
from typing import get_type_hints

import pytest
from fastapi import Depends

from outlast.clock import ManualClock, span, to_micros
from outlast.errors import LuggageTooLarge, OptionRefused, TaskRefused
from outlast.options import GivenOptions, TaskOptions
from outlast.queue import TaskQueue
from outlast.retry import RetryPolicy

queue = TaskQueue(store="sqlite:///never-opened.db", clock=ManualClock())
NAIVE = datetime(2026, 1, 1)  # noqa: DTZ001
NOW = queue.clock.now()


@queue.task
def add(a: int, b: int = 0) -> int:
    "Adds."
    return a + b


@queue.task(queue="mail", priority=7, max_attempts=8, timeout=timedelta(seconds=30))
async def send(to: str) -> str:
    return f"sent to {to}"


def plain(options: str = "", queue: str = "", delay: int = 0) -> tuple[str, str, int]:
    return options, queue, delay


doubled = queue.task(plain)


def row(func, *args, **kwargs):
    return queue.prepare(func, args, kwargs)


def test_a_task_is_called_as_the_function_it_wraps():
    assert add(1, b=2) == 3
    assert (add.__name__, add.__doc__, inspect.signature(add)) == (
        "add",
        "Adds.",
        inspect.signature(add.func),
    )


async def test_the_task_of_a_coroutine_function_is_awaited_and_known_as_one():
    assert inspect.iscoroutinefunction(send.__call__)
    assert await send("me") == "sent to me"


def test_a_job_has_the_options_of_its_task():
    job = row(send, "you")

    assert (job.task, job.queue, job.priority, job.max_attempts) == (f"{__name__}:send", "mail", 7, 8)
    assert (job.timeout, job.created_at, job.run_at, job.expires_at) == (30_000_000, NOW, NOW, None)
    assert (job.retry, job.at_most_once, job.next_id, job.waiting, job.held_by) == (None, 0, None, 0, None)


def test_a_plain_function_has_the_default_options():
    job = row(plain)

    assert (job.task, job.queue, job.priority, job.max_attempts) == (f"{__name__}:plain", "default", 0, 5)


def test_the_options_of_a_call_take_the_place_of_its_task_s():
    job = row(send.options(priority=1, delay=timedelta(minutes=5), expires=timedelta(hours=1)), "you")

    assert (job.queue, job.priority, job.max_attempts) == ("mail", 1, 8)
    assert (job.run_at - NOW, job.expires_at - NOW) == (span(timedelta(minutes=5)), span(timedelta(hours=1)))
    assert row(send, "you").run_at == NOW


def test_every_keyword_of_a_call_belongs_to_the_function():
    assert '"delay":7' in row(plain, options="o", queue="q", delay=7).luggage


def test_run_at_in_the_past_means_now():
    assert row(send.options(run_at=datetime(2020, 1, 1, tzinfo=UTC)), "you").run_at == NOW


def test_instants_may_be_in_any_time_zone():
    later = datetime(2026, 3, 1, 12, tzinfo=timezone(timedelta(hours=2)))

    assert row(send.options(run_at=later), "you").run_at == to_micros(datetime(2026, 3, 1, 10, tzinfo=UTC))


def test_a_call_s_run_at_takes_the_place_of_its_task_s_delay():
    late = queue.options(plain, delay=timedelta(hours=1))
    later = datetime(2026, 3, 1, tzinfo=UTC)

    assert row(queue.options(late, run_at=later)).run_at == to_micros(later)


def numbers():
    yield 1


async def anumbers():
    yield 1


@pytest.mark.parametrize("func", [numbers, anumbers])
def test_a_generator_function_is_refused(func):
    """It would succeed at once, and nothing of it would have run."""
    with pytest.raises(TaskRefused, match=r"numbers\(\) is a generator function.*without `yield`"):
        row(func)


def test_a_policy_goes_into_the_row():
    assert '"factor":2' in row(add.options(retry=RetryPolicy(factor=2)), 1).retry


def test_at_most_once_is_one_attempt():
    job = row(add.options(at_most_once=True), 1)

    assert (job.at_most_once, job.max_attempts) == (1, 1)


def test_options_are_the_same_as_keywords_and_as_a_record():
    assert list(get_type_hints(GivenOptions)) == [field.name for field in fields(TaskOptions)]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"priorty": 3}, ["'priorty'", "did you mean 'priority'?"]),
        ({"zzz": 3}, ["'zzz'", "queue, priority, max_attempts"]),
        ({"delay": 5}, ["delay=5", "timedelta(seconds=30)"]),
        ({"priority": "high"}, ["priority='high'", "int"]),
        ({"max_attempts": True}, ["max_attempts=True"]),
        ({"max_attempts": 0}, ["max_attempts=0", "at least one"]),
        ({"timeout": timedelta(0)}, ["timeout"]),
        ({"delay": timedelta(seconds=-1)}, ["delay", "before it is enqueued"]),
        ({"queue": ""}, ["queue", "name"]),
        ({"run_at": NAIVE}, ["run_at", "no time zone", "datetime.now(UTC)"]),
        ({"expires": NAIVE}, ["expires", "no time zone"]),
        (
            {"delay": timedelta(seconds=5), "run_at": datetime(2026, 1, 1, tzinfo=UTC)},
            ["delay=datetime.timedelta(seconds=5)", "run_at=datetime.datetime(2026, 1, 1", "one of the two"],
        ),
        ({"at_most_once": True, "max_attempts": 3}, ["at_most_once=True", "max_attempts=3"]),
        (
            {"delay": timedelta(seconds=9), "expires": timedelta(seconds=5)},
            ["expires=datetime.timedelta(seconds=5)", "delay=datetime.timedelta(seconds=9)"],
        ),
    ],
)
def test_options_that_make_no_sense_are_refused_with_the_cure(given, words):
    for ask in (add.options, lambda **given: queue.options(plain, **given), queue.task):
        with pytest.raises(OptionRefused) as refused:
            ask(**given)
        assert all(word in str(refused.value) for word in words), refused.value


def test_a_function_that_no_worker_could_find_is_refused_at_once():
    def inner():
        pass

    for stranger in (lambda: None, inner, "text", 7, [], "text".upper):
        with pytest.raises(TaskRefused):
            row(stranger)
    with pytest.raises(TaskRefused, match="inner"):
        queue.task(inner)


def test_arguments_that_do_not_fit_the_function_are_refused_at_once():
    with pytest.raises(TypeError, match="misses 'a'"):
        row(add)


def test_a_payload_over_the_limit_is_refused():
    small = TaskQueue(store=queue.url, payload_limit=100)

    with pytest.raises(LuggageTooLarge):
        small.prepare(plain, ("x" * 200,), {})


def test_a_task_of_another_store_is_refused_and_one_of_another_queue_on_the_same_store_is_not():
    elsewhere = TaskQueue(store="sqlite:///elsewhere.db")
    neighbour = TaskQueue(store=queue.url)

    assert neighbour.prepare(add, (1,), {}).task == f"{__name__}:add"
    with pytest.raises(TaskRefused, match=r"never-opened\.db.*elsewhere\.db"):
        elsewhere.prepare(add, (1,), {})


def test_a_function_made_a_task_under_another_name_is_found_by_its_own():
    assert row(doubled).task == f"{__name__}:plain"


def test_what_a_task_is_shows_in_its_repr():
    assert repr(add) == f"<Task {__name__}:add>"
    assert "priority=3" in repr(add.options(priority=3))


def opened(number: int, db: object = Depends(lambda: None)) -> None: ...


def test_a_queue_that_knows_no_framework_refuses_a_function_that_declares_a_dependency():
    """Called as it is, it would find FastAPI's marker in the place of what it asks for."""
    with pytest.raises(TaskRefused, match=r"opened\(\) declares db by Depends.*use that of `outlast`"):
        row(opened, 1)
