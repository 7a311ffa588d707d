"""Renamed tasks: jobs enqueued under a former name run the task that says it had that name."""

from __future__ import annotations

import sys
from collections.abc import Callable
from itertools import count
from types import ModuleType

import pytest

from outlast.errors import OptionRefused, TaskUnknown
from outlast.job import Claimed, Succeeded
from outlast.queue import TaskQueue
from outlast.worker import executor
from tests.attempts import QUEUE

_numbers = count()


@pytest.fixture
def queue() -> TaskQueue:
    return TaskQueue(store="sqlite:///never-opened.db")


class Module(ModuleType):
    """A module whose functions are free to be renamed; no other test has one of its name."""

    def __init__(self) -> None:
        super().__init__(f"renamed_{next(_numbers)}")

    def function(self, name: str) -> Callable[[], str]:
        """A function in its place, which returns its name."""

        def made() -> str:
            return name

        made.__module__, made.__qualname__, made.__name__ = self.__name__, name, name
        setattr(self, name, made)
        return made


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Module:
    module = Module()
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return module


def ran(module: Module, task: str) -> str:
    """The name of the function that a job of this task runs."""
    task = task if ":" in task else f"{module.__name__}:{task}"
    call = executor.begin(Claimed("a", 1, task, "{}", 0, None, None, 0, 0, None), QUEUE)
    assert isinstance(call, executor.Run)
    outcome = executor.run(call)
    assert isinstance(outcome, Succeeded)
    return str(outcome.result)


@pytest.mark.parametrize("alias", ["old", "gone.module:old", "Mailer.old"])
def test_a_job_of_a_former_name_runs_the_task_of_today(queue: TaskQueue, module: Module, alias: str) -> None:
    """A bare name means the module of the task."""
    queue.task(aliases=[alias])(module.function("new"))

    assert ran(module, alias) == '"new"'


def test_the_name_goes_before_the_alias(queue: TaskQueue, module: Module) -> None:
    """A function defined further down, under the name that a task above it gave up, is what its jobs name."""
    queue.task(aliases=["old"])(module.function("new"))
    module.function("old")

    assert ran(module, "old") == '"old"'


def test_an_alias_leads_to_the_task_where_the_name_leads_to_no_function(
    queue: TaskQueue, module: Module
) -> None:
    module.old = 5
    queue.task(aliases=["old"])(module.function("new"))

    assert ran(module, "old") == '"new"'


def test_any_queue_of_the_process_may_have_declared_it(queue: TaskQueue, module: Module) -> None:
    queue.task(aliases=["first"])(module.function("one"))
    second = TaskQueue(store="sqlite:///another.db")
    second.task(aliases=["second"])(module.function("two"))

    assert (ran(module, "first"), ran(module, "second")) == ('"one"', '"two"')


def test_a_task_may_have_had_several_names_and_be_declared_again(queue: TaskQueue, module: Module) -> None:
    for _ in range(2):
        queue.task(aliases=["older", "oldest"])(module.function("new"))

    assert (ran(module, "older"), ran(module, "oldest")) == ('"new"', '"new"')


def test_what_nobody_claims_is_unknown(queue: TaskQueue, module: Module) -> None:
    queue.task(aliases=["old"])(module.function("new"))

    with pytest.raises(TaskUnknown, match="older"):
        ran(module, "older")


def test_two_tasks_cannot_have_one_alias(queue: TaskQueue, module: Module) -> None:
    queue.task(aliases=["old"])(module.function("one"))

    with pytest.raises(OptionRefused, match=r"\S+:old is an alias of \S+:one and of \S+:two"):
        TaskQueue(store="sqlite:///another.db").task(aliases=["old"])(module.function("two"))


def test_an_alias_cannot_be_the_name_of_another_task_declared_before(
    queue: TaskQueue, module: Module
) -> None:
    queue.task(module.function("old"))

    with pytest.raises(OptionRefused, match=r"\S+:new: \S+:old is the name of another task"):
        queue.task(aliases=["old"])(module.function("new"))


def test_an_alias_cannot_be_the_name_of_a_plain_function(queue: TaskQueue, module: Module) -> None:
    module.function("old")

    with pytest.raises(OptionRefused, match=r"\S+:new: \S+:old is the name of another task"):
        queue.task(aliases=["old"])(module.function("new"))


def test_a_task_cannot_have_the_alias_of_one_declared_before(queue: TaskQueue, module: Module) -> None:
    queue.task(aliases=["old"])(module.function("new"))

    with pytest.raises(OptionRefused, match=r"\S+:old is declared as a task, and is an alias of \S+:new"):
        queue.task(module.function("old"))


def test_the_old_name_may_stay_in_place_as_well(queue: TaskQueue, module: Module) -> None:
    module.old = module.function("new")
    queue.task(aliases=["old"])(module.old)

    assert ran(module, "old") == '"new"'


@pytest.mark.parametrize(
    ("aliases", "told"),
    [
        ("old", r"give a list, aliases=\['old'\]"),
        (["old name"], "give former names"),
        ([""], "give former names"),
        (["module:"], "give former names"),
        ([len], "give former names"),
        (["new"], "the name of the task itself"),
    ],
)
def test_what_is_no_former_name_is_refused(
    queue: TaskQueue, module: Module, aliases: object, told: str
) -> None:
    with pytest.raises(OptionRefused, match=told):
        queue.task(aliases=aliases)(module.function("new"))


def test_aliases_are_no_option_of_a_call(queue: TaskQueue, module: Module) -> None:
    task = queue.task(module.function("new"))

    with pytest.raises(OptionRefused, match="belong to the task, not to a call of it"):
        task.options(aliases=["old"])
    with pytest.raises(OptionRefused, match="did you mean 'aliases'"):
        queue.task(alias="old")
