"""Tasks of the engines' own, added as they are: handed over once the request has committed, and read back."""

from typing import Any

import pytest

from outlast.job import Reason, State
from tests.handover.conftest import opened
from tests.handover.engines import CELERY_ON_RABBITMQ, CELERY_ON_REDIS, DRAMATIQ_ON_REDIS, RQ
from tests.stores import sqlite

NATIVES = {
    "celery": """
celery_app.conf.task_default_queue = os.environ["QUEUE"]
if os.environ["BROKER"].startswith("redis"):
    celery_app.conf.result_backend = os.environ["BROKER"]


@celery_app.task(name="native.double")
def double(value, fail=False):
    note("native", value=value)
    if fail:
        raise ValueError("not today")
    return value * 2


@celery_app.task(name="native.silent", ignore_result=True)
def silent(value):
    note("native", value=value)


added = {"double": double, "silent": silent}
""",
    "rq": """
def double(value, fail=False):
    note("native", value=value)
    if fail:
        raise ValueError("not today")
    return value * 2


added = {"double": queue.handover[None].rq_function(double, queue=os.environ["QUEUE"])}
""",
    "dramatiq": """
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend

broker.add_middleware(Results(backend=RedisBackend(url=os.environ["BROKER"], namespace=os.environ["QUEUE"])))


@dramatiq.actor(queue_name=os.environ["QUEUE"], store_results=True, max_retries=0)
def double(value, fail=False):
    note("native", value=value)
    if fail:
        raise ValueError("not today")
    return value * 2


@dramatiq.actor(queue_name=os.environ["QUEUE"])
def silent(value):
    note("native", value=value)


added = {"double": double, "silent": silent}
""",
}
CLIENT = '''
"""Adds native tasks as a request would: the door commits them."""
import json, sys
from app import added, fastapi_app, queue
from outlast import BackgroundTasks
from fastapi.testclient import TestClient


@fastapi_app.post("/add/{name}")
def add(name: str, call: dict, background_tasks: BackgroundTasks):
    return background_tasks.add_task(added[name], **call).id


answer = TestClient(fastapi_app).post(f"/add/{sys.argv[1]}", json=json.loads(sys.argv[2]))
print("job", answer.json(), file=sys.stderr)
'''


@pytest.fixture(scope="module", params=[CELERY_ON_REDIS, CELERY_ON_RABBITMQ, RQ, DRAMATIQ_ON_REDIS], ids=str)
def natives(request, tmp_path_factory):
    """Apps with tasks of their engine's own, a relay, and a worker."""
    with opened(request.param, sqlite, tmp_path_factory.mktemp("natives")) as shift:
        app = shift.house.folder / "app.py"
        app.write_text(app.read_text() + NATIVES[request.param.engine])
        shift.house.write("client", CLIENT)
        shift.relay()
        shift.worker()
        yield shift


def add(shift, name: str, **call: Any) -> str:
    import json
    import sys

    command = [sys.executable, "client.py", name, json.dumps(call)]
    client = shift.house.start(command, env={**shift.env, "OUTLAST_WORKER": "external"})
    return shift.house.logged(client, "job ").removeprefix("job ").strip()


def test_a_native_task_runs_as_its_engines_own(natives):
    job = add(natives, "double", value=21)
    house = natives.house
    assert house.until(lambda: house.diary("native"), "the native task")
    record = house.ended(job)

    assert record.state is State.SUCCEEDED
    assert (record.engine, record.engine_id) == (natives.kind.engine, f"{job}-1")
    assert record.task.startswith(f"{natives.kind.engine}/")
    assert record.queue == natives.kind.engine
    if natives.kind != CELERY_ON_RABBITMQ:  # there it has no result backend
        assert house.result(job) == 42


def test_a_native_task_that_fails_has_failed_here_too(natives):
    if natives.kind == CELERY_ON_RABBITMQ:
        assert natives.house.ended(add(natives, "double", value=1, fail=True)).state is State.SUCCEEDED
        return
    job = add(natives, "double", value=1, fail=True)
    record = natives.house.ended(job)

    assert (record.state, record.reason, record.attempt) == (State.FAILED, Reason.ERROR, 1)
    assert "not today" in record.error
    [attempt] = natives.house.store.attempts(job)
    assert "ValueError" in attempt.traceback


def test_a_native_task_whose_engine_keeps_no_result_has_succeeded_when_it_was_handed_over(natives):
    if natives.kind == RQ:
        return  # it keeps all
    job = add(natives, "silent", value=5)

    assert natives.house.result(job) is None
    natives.house.until(
        lambda: [note for note in natives.house.diary("native") if note.more["value"] == 5], "the native task"
    )
