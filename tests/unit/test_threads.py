"""The threads of def tasks: begun when needed, kept, never more than the limit, each work in a context of its own."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from contextvars import ContextVar

from outlast.worker.threads import Threads

PATIENCE = 20.0
variable: ContextVar[str] = ContextVar("variable", default="none")


def test_work_is_done_in_threads_that_do_not_keep_the_process() -> None:
    done: Future[threading.Thread] = Future()

    Threads(1).submit(lambda: done.set_result(threading.current_thread()))

    assert done.result(PATIENCE).daemon


def test_as_much_runs_at_once_as_the_limit_allows_and_the_rest_waits_its_turn() -> None:
    """Three meet at a barrier that two could not pass; a fourth does not start before one of them has gone."""
    threads, barrier, door = Threads(3), threading.Barrier(4), threading.Event()
    began: list[int] = []
    ended: list[Future[None]] = [Future() for _ in range(4)]

    def work(number: int) -> None:
        began.append(number)
        if number < 3:
            barrier.wait(PATIENCE)
            door.wait(PATIENCE)
        ended[number].set_result(None)

    for number in range(4):
        threads.submit(lambda number=number: work(number))
    barrier.wait(PATIENCE)
    assert sorted(began) == [0, 1, 2]

    door.set()
    for each in ended:
        each.result(PATIENCE)
    assert began[3] == 3


def test_a_thread_that_is_idle_is_used_before_another_is_begun() -> None:
    threads, names = Threads(10), set()
    for _ in range(5):
        done: Future[str] = Future()
        idle = threading.Event()
        threads.submit(lambda done=done: done.set_result(threading.current_thread().name))
        names.add(done.result(PATIENCE))
        while not threads._idle._value and not idle.wait(0.001):  # type: ignore[attr-defined]
            pass

    assert names == {"outlast-task-1"}


def test_each_piece_of_work_begins_with_an_empty_context() -> None:
    """Neither what the submitter has set nor what the one before has is there."""
    variable.set("the submitter's")
    threads = Threads(1)
    found: list[Future[str]] = [Future() for _ in range(2)]

    def work(future: Future[str]) -> None:
        future.set_result(variable.get())
        variable.set("the one before's")

    for future in found:
        threads.submit(lambda future=future: work(future))

    assert [future.result(PATIENCE) for future in found] == ["none", "none"]
    assert variable.get() == "the submitter's"
