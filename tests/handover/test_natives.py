"""Tasks of the engines' own, added as they are: handed over once the request has committed, and read back."""

from datetime import timedelta
from typing import Any

import pytest

from outlast.job import Reason, State
from outlast.store import JobFilter
from tests.handover.conftest import opened
from tests.handover.engines import CELERY_ON_RABBITMQ, CELERY_ON_REDIS, DRAMATIQ_ON_REDIS, RQ
from tests.stores import sqlite

WORK = """

def doubled(value, fail, door, known_as):
    note("native", value=value, known_as=known_as)
    if door:
        wait_for(door)
    if fail:
        raise ValueError("not today")
    return value * 2

"""
NATIVES = {
    "celery": """
celery_app.conf.task_default_queue = os.environ["QUEUE"]
if os.environ["BROKER"].startswith("redis"):
    celery_app.conf.result_backend = os.environ["BROKER"]


@celery_app.task(name="native.double")
def double(value, fail=False, door=None):
    return doubled(value, fail, door, double.request.id)


@celery_app.task(name="native.silent", ignore_result=True)
def silent(value):
    note("native", value=value)


added = {"double": double, "silent": silent}
""",
    "rq": """
from rq import get_current_job


def double(value, fail=False, door=None):
    return doubled(value, fail, door, get_current_job().id)


added = {"double": handover.rq_function(double, queue=os.environ["QUEUE"])}
""",
    "dramatiq": """
from dramatiq.middleware import CurrentMessage
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend

broker.add_middleware(CurrentMessage())
broker.add_middleware(Results(backend=RedisBackend(url=os.environ["BROKER"], namespace=os.environ["QUEUE"])))


@dramatiq.actor(queue_name=os.environ["QUEUE"], store_results=True, max_retries=0)
def double(value, fail=False, door=None):
    return doubled(value, fail, door, CurrentMessage.get_current_message().message_id)


@dramatiq.actor(queue_name=os.environ["QUEUE"])
def silent(value):
    note("native", value=value)


added = {"double": double, "silent": silent}
""",
}
ROUTE = """
from fastapi import HTTPException, UploadFile
from outlast import BackgroundTasks


@queue.task(queue=os.environ["QUEUE"])
async def read(file: UploadFile):
    return (await file.read()).decode()


@fastapi_app.post("/read")
async def add_read(file: UploadFile, background_tasks: BackgroundTasks):
    return background_tasks.add_task(read, file).id


@fastapi_app.post("/add/{name}")
def add(name: str, call: dict, background_tasks: BackgroundTasks, refused: bool = False):
    job = background_tasks.add_task(added[name], **call)
    if refused:
        raise HTTPException(409, job.id)
    return job.id
"""


@pytest.fixture(scope="module", params=[CELERY_ON_REDIS, CELERY_ON_RABBITMQ, RQ, DRAMATIQ_ON_REDIS], ids=str)
def natives(request, tmp_path_factory):
    """Apps with tasks of their engine's own, a relay, a worker, and a server that adds them."""
    app = WORK + NATIVES[request.param.engine] + ROUTE
    with opened(request.param, sqlite, tmp_path_factory.mktemp("natives"), app=app) as shift:
        shift.relay(lease=timedelta(seconds=1))
        shift.worker()
        shift.serve(OUTLAST_WORKER="external")
        yield shift


def add(shift, name: str, **call: Any) -> str:
    """The id of its job; the server has answered, so it is committed."""
    return shift.post(f"/add/{name}", json=call).json()


def ran(shift, value):
    """What the task's own runs with this value have noted; once there is one."""
    return shift.house.until(
        lambda: [note for note in shift.house.diary("native") if note.more["value"] == value],
        f"the native task to run with {value}",
    )


def test_a_native_task_runs_as_its_engines_own(natives):
    job = add(natives, "double", value=21)
    record = natives.house.ended(job)
    [note] = ran(natives, 21)

    assert record.state is State.SUCCEEDED
    assert (record.engine, record.engine_id) == (natives.kind.engine, f"{job}-1")
    assert note.more["known_as"] == record.engine_id
    assert record.task.startswith(f"{natives.kind.engine}/")
    assert record.queue == natives.kind.engine
    if natives.kind != CELERY_ON_RABBITMQ:  # there it has no result backend
        assert natives.house.result(job) == 42


def test_a_native_task_that_fails_has_failed_here_too(natives):
    job = add(natives, "double", value=1, fail=True)
    record = natives.house.ended(job)
    if natives.kind == CELERY_ON_RABBITMQ:
        assert record.state is State.SUCCEEDED
        return

    assert (record.state, record.reason, record.attempt) == (State.FAILED, Reason.ERROR, 1)
    assert "not today" in record.error
    [attempt] = natives.house.store.attempts(job)
    assert "ValueError" in attempt.traceback


def test_a_native_task_whose_engine_keeps_no_result_has_succeeded_when_it_was_handed_over(natives):
    if natives.kind == RQ:
        return  # it keeps all
    job = add(natives, "silent", value=5)

    assert natives.house.result(job) is None
    assert ran(natives, 5)


def test_a_native_task_of_a_request_that_fails_is_not_handed_over(natives):
    """P2: the engine hears of it once the request has committed, and not before."""
    answer = natives.post("/add/double?refused=true", json={"value": 7})
    assert answer.status_code == 409
    natives.house.ended(add(natives, "double", value=8))

    assert ran(natives, 8)
    assert [note.more["value"] for note in natives.house.diary("native") if note.more["value"] == 7] == []
    assert natives.house.store.find(JobFilter(ids=(answer.json()["detail"],))) == []


def test_an_upload_comes_to_outlasts_own_task_in_the_engines_process(natives):
    """P9. What else needs a server: this module has one."""
    job = natives.post("/read", files={"file": ("note.txt", b"what it says")}).json()

    assert natives.house.result(job) == "what it says"


def test_what_its_engine_has_is_not_published_again_while_it_runs_long(natives):
    """The lease is for messages of ours: an end that its engine will tell is waited for, for a day."""
    if natives.kind == CELERY_ON_RABBITMQ:
        return  # it tells none
    house = natives.house
    job = add(natives, "double", value=9, door="long")
    record = house.reached(
        job, lambda record: record.note == "handed over; its end is to come", "is handed over"
    )
    assert record.published_until - record.published_at > natives.HOUR
    house.open("long")

    assert house.result(job) == 18
    house.ended(add(natives, "double", value=10))  # what lay behind it has come, too
    assert len(ran(natives, 9)) == 1
