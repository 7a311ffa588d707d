"""What the router says of itself in OpenAPI, and what it does: schemathesis looks for where they differ."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import pytest
import schemathesis
from fastapi import FastAPI, Header
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from outlast import TaskQueue
from outlast.fastapi.inline import Inline
from outlast.job import Ended, Erred, Line, Step, Succeeded, Told
from outlast.luggage import pack_value

STATES = ("queued", "succeeded", "failed", "cancelled")


class Report(BaseModel):
    pages: int


def make_report() -> Report: ...


def owner(x_user: Annotated[str, Header()] = "ada") -> str:
    return x_user


def an_app(store: str, **options: Any) -> tuple[FastAPI, TaskQueue]:
    app = FastAPI()
    queue = TaskQueue(app, store=store, worker="external", **options)
    app.include_router(queue.router, prefix="/jobs")
    app.include_router(queue.router_of(make_report), prefix="/reports")
    return app, queue


def a_job_in_each_state(queue: TaskQueue) -> list[str]:
    """Of each that is an end: the stream of another's events would go on."""
    call = queue.options(make_report, owner="ada")
    jobs = [call.enqueue().id for _ in STATES]
    worker = Inline(queue).membership

    def end(store: Any) -> None:
        worker.enter(store)
        now = store.clock.now()
        claimed = {job.id: job for job in store.claim(worker.id, len(jobs))}
        told = (Step(1, 2, "…", now), [Line(1, now, 20, "app", "said")])
        store.keep([Told(job, 1, *told) for job in claimed])
        done, failed = Succeeded(pack_value(Report(pages=3))), Erred("no", "…", again=False)
        store.settle([Ended(jobs[1], 1, done), Ended(jobs[2], 1, failed)])

    queue.tell(end)
    queue.cancel(jobs[3])
    return jobs[1:]


@pytest.fixture(params=[None, owner], ids=["everybody's", "owned"])
def site(request: pytest.FixtureRequest, tmp_path: Any) -> Iterator[tuple[Any, list[str]]]:
    """The schema of an app, and jobs of its."""
    options = {} if request.param is None else {"owner": request.param}
    app, queue = an_app(f"sqlite:///{tmp_path / 'outlast.db'}", **options)
    yield schemathesis.openapi.from_asgi("/openapi.json", app), a_job_in_each_state(queue)
    queue.close()


def each_operation(schema: Any) -> list[Any]:
    operations = [result.ok() for result in schema.get_all_operations()]
    assert len(operations) == 10
    return operations


def with_examples(operation: Any, ask: Any, *strategies: Any) -> None:
    few = settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    few(given(operation.as_strategy(), *strategies)(ask))()


def test_schemathesis_finds_nothing(site: Any) -> None:
    """Break it: leave a response out of the router's `responses=`, or `_ID` out of `_read`."""
    schema, _ = site

    def ask(case: Any) -> None:
        case.call_and_validate()

    for operation in each_operation(schema):
        with_examples(operation, ask)


def test_schemathesis_finds_nothing_with_jobs_that_are_there(site: Any) -> None:
    schema, jobs = site

    def ask(case: Any, job: str) -> None:
        case.path_parameters["job_id"] = job
        case.headers.pop("x-user", None)
        case.call_and_validate(excluded_checks=[negative_data_rejection, positive_data_acceptance])

    for operation in each_operation(schema):
        # A stream of a job that was queued again would go on, and so might a wait for it.
        is_change = operation.method in ("delete", "post")
        with_examples(operation, ask, st.sampled_from(jobs if is_change else jobs[:1]))
