"""What code of a task finds around it: its job, its context, its process."""

from __future__ import annotations

from outlast.worker.surroundings import current_job
from tests.worker.harness import TASKS, House

APP = (
    TASKS
    + '''
import subprocess, threading
from contextvars import ContextVar
from dataclasses import asdict

from outlast.role import in_worker

request = ContextVar("request", default="none")


def leave_trace(value):
    before = request.get()
    request.set(value)
    return [before, threading.current_thread().name]


async def aleave_trace(value):
    before = request.get()
    request.set(value)
    return [before, "loop"]


def who():
    return asdict(current_job())


async def awho():
    return [asdict(current_job()), asdict(await asyncio.to_thread(current_job))]


def again():
    if current_job().failures < 1:
        raise ValueError
    return asdict(current_job())


def stdin():
    return sys.stdin.read()


def role_of_a_program():
    code = "from outlast.role import in_worker; print(in_worker())"
    return [in_worker(), subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip()]


def enqueue_another():
    return queue.enqueue(work, "from a task").id


async def aenqueue_another():
    return (await queue.aenqueue(awork, "from a task")).id


def hand_over():
    """What a program started by a task makes of a signal is its own business."""
    code = "import signal; print(signal.getsignal(signal.SIGTERM) == signal.SIG_DFL)"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip()
'''
)
SETTINGS = {"children": 1, "slots": 1}


def test_context_variables_do_not_leak_from_one_task_to_the_next(served: House) -> None:
    """With one slot the def tasks share a thread, and each begins with an empty context."""
    jobs = [served.add("app:leave_trace", {"value": str(n)}) for n in range(3)]
    jobs += [served.add("app:aleave_trace", {"value": str(n)}) for n in range(3)]

    results = served.results(jobs)

    assert [before for before, _ in results] == ["none"] * 6
    assert {thread for _, thread in results[:3]} == {"outlast-task-1"}


def test_a_task_knows_its_job(served: House) -> None:
    """In a def task, in an async one, and in a thread that the async one starts."""
    called, awaited = served.add("app:who"), served.add("app:awho")

    assert served.result(called) == {
        "id": called,
        "attempt": 1,
        "task": "app:who",
        "failures": 0,
        "request_id": None,
    }
    one = {"id": awaited, "attempt": 1, "task": "app:awho", "failures": 0, "request_id": None}
    assert served.result(awaited) == [one, one]


def test_a_task_knows_its_attempt_and_its_failures(served: House) -> None:
    """So that a second try can do otherwise."""
    job = served.add("app:again")

    assert served.result(job) == {
        "id": job,
        "attempt": 2,
        "task": "app:again",
        "failures": 1,
        "request_id": None,
    }


def test_outside_a_task_there_is_no_current_job() -> None:
    """Nothing is made up."""
    assert current_job() is None


def test_a_task_reads_nothing_from_the_terminal(served: House) -> None:
    """Standard input is empty: no task waits for a person."""
    assert served.result(served.add("app:stdin")) == ""


def test_a_program_that_a_task_starts_is_no_worker(served: House) -> None:
    """What a process is, is not inherited: a task may start a server."""
    assert served.result(served.add("app:role_of_a_program")) == [True, "False"]


def test_a_program_that_a_task_starts_has_its_signals_as_usual(served: House) -> None:
    """The child's shield against signals is its own."""
    assert served.result(served.add("app:hand_over")) == "True"


def test_a_task_may_enqueue(served: House) -> None:
    """From a def task and from an async one; the job runs, though this worker had a single slot."""
    for task in ("app:enqueue_another", "app:aenqueue_another"):
        other = served.result(served.add(task))
        assert served.result(other) == "from a task"
