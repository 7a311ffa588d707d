"""What running tasks tell, through real children: progress and log lines, when they come and what they cost."""

from __future__ import annotations

import os
import signal

import pytest

from outlast.store import LINES
from tests.worker.harness import TASKS, House

TELLING = '''
import logging

queue.capture = "output"
log = logging.getLogger("app")


def half(door):
    current_job().progress(5, 10, "half of it")
    note("told")
    wait_for(door)
    current_job().progress(10, 10)


async def ahalf(door):
    current_job().progress(5, 10, "half of it")
    note("told")
    await await_for(door)
    current_job().progress(10, 10)


def many(times):
    job = current_job()
    for number in range(times):
        job.progress(number + 1, times)


def loop(items):
    return sum(current_job().track(items))


async def aloop(items):
    async def produced():
        for item in items:
            yield item
    total = 0
    async for item in current_job().track(produced(), note="adding"):
        total += item
    async for item in current_job().track(items):
        total += item
    return total


def refuse(said):
    try:
        current_job().progress(*said)
    except (TypeError, ValueError) as error:
        return str(error)


def say(door):
    log.warning("one %s", "two")
    print("printed", end="")
    print(" in pieces")
    wait_for(door)
    try:
        1 / 0
    except ZeroDivisionError:
        log.exception("three")
    print("no end of line", end="")


def chatter(lines):
    for number in range(lines):
        log.error("line %d", number + 1)


class Loud:
    def __str__(self):
        log.error("from within")
        return "loud"


def strange():
    log.error("%d", "no number")
    log.error("%s", Loud())
    log.error("nul \\0 and \\ud800")
    log.error("x" * 10_000)
    logging.getLogger("app.apart").error("does not propagate")


def say_and_die(door):
    log.error("last words")
    current_job().progress(1)
    wait_for(door)


def elsewhere():
    job = current_job()
    thread = threading.Thread(target=lambda: job.progress(7))
    thread.start()
    thread.join()


def effects():
    """What the user's logging does is what it does without us."""
    root = logging.getLogger()
    log.warning("shown by the last resort")
    before = list(root.handlers)
    logging.basicConfig(format="configured: %(message)s")
    log.warning("told once")
    after, root.handlers[:] = len(root.handlers), before
    return [len(before), after]


logging.getLogger("app.apart").propagate = False
'''
APP = TASKS + TELLING
SETTINGS = {"children": 1}


def texts(house: House, job: str) -> list[str]:
    return [line.text for line in house.store.log(job)]


@pytest.mark.parametrize("task", ["half", "ahalf"])
def test_progress_is_seen_while_a_task_runs_and_the_last_of_it_when_it_has_ended(served, task):
    """Break it: leave `flush` out of Surroundings.__exit__."""
    door = f"{task}-door"
    job = served.add(f"app:{task}", {"door": door})

    seen = served.reached(job, lambda job: job.progress is not None, "has told its progress").progress
    assert (seen.done, seen.total, seen.note) == (5, 10, "half of it")
    served.open(door)

    assert served.ended(job).progress.done == 10


def test_many_steps_are_few_writes_and_the_last_always_arrives(served):
    jobs = [served.add("app:many", {"times": times}) for times in (1, 3, 100_000)]

    assert [served.ended(job).progress.done for job in jobs] == [1, 3, 100_000]


@pytest.mark.parametrize(("task", "items", "total"), [("loop", [1, 2, 3], 3), ("aloop", [1, 2, 3], 3)])
def test_a_loop_tells_how_far_it_is(served, task, items, total):
    job = served.add(f"app:{task}", {"items": items})

    ended = served.ended(job)

    assert served.result(job) == sum(items) * (2 if task == "aloop" else 1)
    assert (ended.progress.done, ended.progress.total) == (3, total)


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        ([0.5], "done=0.5: give a whole number; for parts of one, count in percent"),
        ([True], "done=True"),
        ([-1], "done=-1: give a number from 0 on"),
        ([1, 2**63], "total=9223372036854775808"),
    ],
)
def test_what_is_no_count_is_refused(served, said, complaint):
    job = served.add("app:refuse", {"said": said})

    served.ended(job)

    assert complaint in (served.result(job) or "")


def test_a_thread_of_the_tasks_own_may_tell_too(served):
    assert served.ended(served.add("app:elsewhere")).progress.done == 7


def test_lines_come_while_a_task_runs_in_their_order(served):
    job = served.add("app:say", {"door": "say"})
    served.until(lambda: len(texts(served, job)) == 2, "two lines")
    assert texts(served, job) == ["one two", "printed in pieces"]
    served.open("say")
    served.ended(job)

    log = served.store.log(job)

    assert [line.text.splitlines()[0] for line in log[2:]] == ["three", "no end of line"]
    assert log[2].text.endswith("ZeroDivisionError: division by zero")
    assert [(line.number, line.level, line.logger) for line in log] == [
        (1, 30, "app"),
        (2, 20, "stdout"),
        (3, 40, "app"),
        (4, 20, "stdout"),
    ]


def test_a_task_that_writes_very_much_keeps_the_last_lines(served):
    job = served.add("app:chatter", {"lines": 20_000})
    served.ended(job)

    kept = texts(served, job)

    assert len(kept) <= LINES
    assert kept[-1] == "line 20000"
    assert [line.number for line in served.store.log(job)][-1] == 20_000


def test_nothing_that_is_logged_fails_a_task_or_is_put_down_twice(served):
    job = served.add("app:strange")
    assert served.ended(job).state == "succeeded"

    bad, loud, nul, long, apart = texts(served, job)

    assert "its arguments do not fit it" in bad
    assert loud == "loud"
    assert nul == "nul \\0 and \\ud800"
    assert len(long) < 5_000
    assert long.endswith("[… 6,000 characters left out]")
    assert apart == "does not propagate"


def test_what_a_task_had_told_is_there_when_its_child_is_killed(served):
    job = served.add("app:say_and_die", {"door": "never"}, max_attempts=1)
    served.reached(job, lambda job: job.progress is not None, "has told its progress")
    served.until(lambda: texts(served, job), "its line")

    os.kill(served.child(), signal.SIGKILL)

    ended = served.ended(job)
    assert (ended.state, ended.progress.done, texts(served, job)) == ("failed", 1, ["last words"])


def test_the_users_logging_is_as_it_was(house):
    """Break it: keep lines by a handler on the root logger."""
    house.write("app", APP)
    worker = house.worker(children=1)
    job = house.add("app:effects")
    house.ended(job)

    assert house.result(job) == [0, 1]
    assert "\nshown by the last resort" in worker.log
    assert worker.log.count("configured: told once") == 1
    assert texts(house, job) == ["shown by the last resort", "told once"]
