"""One attempt of a job, and what it came to: always a value, never an exception."""

from __future__ import annotations

import asyncio
import functools
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import fields
from datetime import timedelta
from types import ModuleType
from typing import Any

import pytest
from pydantic import BaseModel

from outlast.errors import Fail, Retry, Snooze, TaskUnknown
from outlast.job import Claimed, Erred, Outcome, Released, Snoozed, Stopped, Succeeded
from outlast.retry import RetryPolicy
from outlast.worker import executor
from outlast.worker.outcomes import from_message, to_message
from tests.attempts import QUEUE, in_no_thread


class Form(BaseModel):
    number: int


def answer() -> int:
    return 42


def generate() -> Iterator[int]:
    yield 42


async def agenerate() -> AsyncIterator[int]:
    yield 42


def add(a: int, b: int) -> int:
    return a + b


def validate() -> None:
    Form.model_validate({"number": "many"})


def with_note() -> None:
    error = ValueError("first line\nsecond line")
    error.add_note("a note")
    raise error


def syntax() -> None:
    compile("this is no Python", "<config>", "exec")


def group() -> None:
    raise ExceptionGroup("two", [ValueError("one"), TypeError("other")])


def caused() -> None:
    try:
        answer_missing = {}["answer"]
    except KeyError as error:
        raise RuntimeError(f"no answer {error}") from error
    return answer_missing


def shout() -> None:
    raise ValueError("x" * 1_000_000)


def leave() -> None:
    sys.exit(3)


def retry() -> None:
    raise Retry(delay=timedelta(seconds=2))


def snooze() -> None:
    raise Snooze(timedelta(seconds=2))


def fail() -> None:
    raise Fail


def number() -> None:
    raise Snooze(5)  # type: ignore[arg-type]


def plain_wrapper(func: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(func)
    def wrapper(*args: Any) -> Any:
        return func(*args)

    return wrapper


@plain_wrapper
async def wrapped() -> str:
    return "done"


class Stubborn:
    """Cannot be carried, in the worst way."""

    def __reduce__(self) -> str:
        raise SystemError("no")

    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError("do not touch")


def stubborn() -> Stubborn:
    return Stubborn()


class Unreadable:
    def __call__(self) -> None: ...

    @property
    def __signature__(self) -> None:
        raise RuntimeError("a decorator that went wrong")


def attempt(func: Callable[..., Any], luggage: str = "{}", retry: RetryPolicy | None = None) -> Outcome:
    """What an attempt of a job of this module's comes to."""
    begun = executor.begin(claimed(f"{__name__}:{func.__name__}", luggage, retry), QUEUE)
    return executor.run(begun) if isinstance(begun, executor.Run) else begun


def claimed(task: str, luggage: str = "{}", retry: RetryPolicy | None = None) -> Claimed:
    return Claimed("id", 1, task, luggage, 0, retry.to_row() if retry else None, None, 0, 0, None)


def erred(func: Callable[..., Any], **options: Any) -> Erred:
    outcome = attempt(func, **options)
    assert isinstance(outcome, Erred)
    return outcome


def test_what_a_task_returns_is_its_result() -> None:
    assert attempt(answer) == Succeeded("42")
    assert attempt(add, '{"a":1,"b":2}') == Succeeded("3")


@pytest.mark.parametrize(
    ("func", "line"),
    [
        (validate, "1 validation error for Form"),
        (with_note, "ValueError: first line"),
        (syntax, "SyntaxError: invalid syntax"),
        (group, "ExceptionGroup: two (2 sub-exceptions)"),
        (caused, "RuntimeError: no answer 'answer'"),
        (leave, "SystemExit: 3"),
        (number, "TypeError: unsupported operand"),
    ],
)
def test_an_error_is_told_in_one_line_that_says_which(func: Callable[..., Any], line: str) -> None:
    """The first of its message, without the place that a SyntaxError begins with; the whole is in the traceback."""
    outcome = erred(func)

    assert line in outcome.error
    assert "\n" not in outcome.error
    assert outcome.error.split(":")[0] in outcome.traceback
    assert f"in {func.__name__}\n" in outcome.traceback


def test_a_traceback_begins_with_the_tasks_own_code() -> None:
    assert erred(with_note).traceback.splitlines()[1].endswith("in with_note")


def test_the_traceback_tells_what_an_error_comes_from() -> None:
    text = erred(caused).traceback

    assert "KeyError: 'answer'" in text
    assert "direct cause" in text


def test_an_error_that_quotes_a_library_of_text_is_kept_in_part() -> None:
    outcome = erred(shout)

    assert outcome.error.startswith("ValueError: xxx")
    assert len(outcome.error) == 1000
    assert len(outcome.traceback) < 101_000
    assert outcome.traceback.startswith("Traceback")
    assert "characters left out" in outcome.traceback


def test_what_a_task_says_of_its_own_job() -> None:
    assert attempt(snooze) == Snoozed(2_000_000)
    assert (erred(retry).again, erred(retry).delay) == (True, 2_000_000)
    assert (erred(fail).again, erred(fail).delay) == (False, None)


def test_which_errors_are_tried_again_is_the_policys() -> None:
    assert erred(with_note).again
    assert not erred(with_note, retry=RetryPolicy(never=(ValueError,))).again
    assert not erred(leave).again, "what ends a program is no ordinary error"
    assert erred(leave, retry=RetryPolicy(on=(SystemExit,))).again


def test_a_plain_wrapper_around_an_async_function_is_an_error_not_a_success() -> None:
    """Its coroutine would never run, and nobody would know."""
    outcome = erred(wrapped)

    assert "returned a coroutine, which nobody awaits" in outcome.error
    assert "wrapper `async def`" in outcome.error


def test_a_result_that_cannot_even_be_looked_at_is_not_kept(caplog: pytest.LogCaptureFixture) -> None:
    """The work is done; to fail it would do it again."""
    assert attempt(stubborn) == Succeeded()
    assert "result not kept id=id" in caplog.text


def test_arguments_that_do_not_fit_wait_for_code_that_they_fit() -> None:
    outcome = attempt(add, '{"a":1}')

    assert isinstance(outcome, Released)
    assert not outcome.begun
    assert (outcome.note or "").endswith("waits for code that fits it")
    assert outcome.delay == executor.MISFIT_PAUSE


@pytest.mark.parametrize(
    ("task", "why"),
    [
        ("nowhere:task", "module nowhere cannot be imported"),
        (f"{__name__}:missing", "missing"),
        (f"{__name__}:__name__", "is not a function"),
        ("ends_the_process:task", "SystemExit"),
        ("broken_hints:task", "cannot be called in this code"),
        (f"{__name__}:generate", "nothing of its body would run"),
        (f"{__name__}:agenerate", "nothing of its body would run"),
    ],
)
def test_a_task_that_this_code_lacks_is_unknown(
    task: str, why: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    """Also one whose module ends the process, whose signature no code can read, or which has become a generator."""
    (tmp_path / "ends_the_process.py").write_text("raise SystemExit(1)")
    monkeypatch.syspath_prepend(str(tmp_path))
    unreadable = ModuleType("broken_hints")
    unreadable.task = Unreadable()  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "broken_hints", unreadable)

    with pytest.raises(TaskUnknown, match=why):
        executor.begin(claimed(task), QUEUE)


async def cancel_within() -> None:
    future = asyncio.get_running_loop().create_future()
    future.cancel()
    await future


async def wait_for_ever() -> None:
    await asyncio.Event().wait()


async def test_a_cancellation_from_outside_stops_it_and_says_where_it_was() -> None:
    begun = executor.begin(claimed(f"{__name__}:wait_for_ever"), QUEUE)
    assert isinstance(begun, executor.Run)
    task = asyncio.create_task(executor.arun(begun, in_no_thread))
    await asyncio.sleep(0)

    task.cancel()
    outcome = await task

    assert isinstance(outcome, Stopped)
    assert "in wait_for_ever\n" in outcome.traceback


@pytest.mark.parametrize(
    "outcome",
    [
        Succeeded(),
        Succeeded('"result"'),
        Erred("E", "T", again=False, delay=7),
        Released("note", 5, begun=False),
        Snoozed(9),
        Stopped("where"),
    ],
)
def test_outcomes_go_from_process_to_process(outcome: Outcome) -> None:
    end = from_message(to_message("id", 3, outcome))

    assert (end.id, end.attempt, end.outcome) == ("id", 3, outcome)
    assert len(to_message("id", 3, outcome)) == 3 + len(fields(outcome))  # type: ignore[arg-type]
