"""What a job was added in, in a worker's child: context variables, the request's id, and the lines that both are on."""

from __future__ import annotations

import json
import signal

import pytest

from outlast.job import State
from tests.worker.harness import TASKS, House

APP = (
    TASKS
    + """
import logging
from contextvars import ContextVar

logging.basicConfig(
    filename=HERE / "lines", format="%(request_id)s %(job_id)s %(task)s %(attempt)s %(name)s: %(message)s"
)
log = logging.getLogger("shop")
log.setLevel(logging.INFO)
log.info("imported")
tenant = ContextVar("tenant", default="nobody")
queue = TaskQueue(store=f"sqlite:///{HERE / 'outlast.db'}", context=[tenant])


def sell():
    log.info("sold to %s", tenant.get())
    return [tenant.get(), current_job().request_id]


async def asell():
    log.info("sold to %s", tenant.get())
    return [tenant.get(), current_job().request_id]


def sell_and_fail():
    tenant.set("thief")
    raise ValueError


def sell_another():
    return queue.enqueue(sell).id


def keep():
    return object()
"""
)
SETTINGS = {"children": 1, "slots": 1}
CAME = json.dumps({"request": "7f3c", "variables": {"tenant": "acme"}})


@pytest.mark.parametrize("task", ["app:sell", "app:asell"])
def test_a_task_sees_the_variables_and_the_request_that_its_job_was_added_in(
    served: House, task: str
) -> None:
    assert served.result(served.add(task, context=CAME)) == ["acme", "7f3c"]


@pytest.mark.parametrize("task", ["app:sell", "app:asell"])
@pytest.mark.parametrize("before", ["app:sell", "app:asell", "app:sell_and_fail"])
def test_the_next_task_in_its_place_sees_nothing_of_them(served: House, task: str, before: str) -> None:
    """With one slot the def tasks share a thread."""
    served.ended(served.add(before, context=CAME, max_attempts=1))

    assert served.result(served.add(task)) == ["nobody", None]


def test_a_retry_sees_them_anew(house: House) -> None:
    house.write("app", APP.replace("raise ValueError", "if current_job().attempt == 1: raise ValueError"))
    house.write(
        "app", (house.folder / "app.py").read_text().replace('tenant.set("thief")', "note(tenant.get())")
    )
    house.worker()

    job = house.add("app:sell_and_fail", context=CAME)

    house.ended(job)
    assert [note.event for note in house.diary(job=job)] == ["acme", "acme"]


def test_what_a_task_adds_belongs_to_the_request_and_carries_the_variables(served: House) -> None:
    other = served.result(served.add("app:sell_another", context=CAME))

    assert served.result(other) == ["acme", "7f3c"]


def test_a_format_of_the_users_may_name_the_request_and_the_attempt(served: House) -> None:
    job = served.add("app:sell", context=CAME)
    served.ended(job)

    lines = (served.folder / "lines").read_text().splitlines()
    assert "- - - - shop: imported" in lines
    assert f"7f3c {job} app:sell 1 shop: sold to acme" in lines


def test_a_line_of_ours_in_the_child_has_the_request_too(served: House) -> None:
    job = served.add("app:keep", context=CAME)
    served.ended(job)

    [line] = [line for line in (served.folder / "lines").read_text().splitlines() if "not kept" in line]
    assert f"result not kept id={job} task=app:keep request=7f3c: " in line


def test_a_job_with_a_variable_that_the_code_does_not_register_runs_without_it(house: House) -> None:
    house.write("app", APP.replace(", context=[tenant]", ""))
    house.worker()

    jobs = [house.add("app:sell", context=CAME) for _ in range(3)]

    assert house.results(jobs) == [["nobody", "7f3c"]] * 3
    assert (house.folder / "lines").read_text().count("context variable 'tenant' not set") == 1


def test_every_line_of_the_worker_about_a_job_has_the_request(house: House) -> None:
    """Its start, its failure, its rescue, its end, its expiry."""
    house.write("app", APP)
    first = house.worker()
    failed = house.add("app:sell_and_fail", context=CAME, max_attempts=1)
    house.ended(failed)
    held = house.add("app:hold", {"door": "front"}, context=CAME)
    house.noted("started", held)
    first.signal(signal.SIGKILL)
    first.wait()
    overdue = house.row("app:sell", context=CAME)._replace(expires_at=1)
    house.add_all([overdue])
    house.open("front")

    second = house.worker()
    assert house.ended(held).state is State.SUCCEEDED
    assert house.ended(overdue.id).state is State.FAILED
    house.logged(second, f"succeeded id={held}")

    told = [
        line.split("outlast.jobs: ")[1].replace(job, "ID")
        for process in (first, second)
        for line in process.log.splitlines()
        for job in (failed, held, overdue.id)
        if job in line
    ]
    assert {line.split()[0] for line in told} == {"started", "failed", "rescued", "succeeded", "expired"}
    assert [line for line in told if " request=7f3c" not in line] == []
