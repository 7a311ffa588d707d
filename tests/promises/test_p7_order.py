"""P7 order: jobs of one request first start in the order added. Here: how the face chains them."""

from datetime import timedelta

from fastapi import Depends

from outlast import BackgroundTasks, TaskQueue
from outlast.luggage import Signature
from tests.asgi import call, jobs


def job(name: str): ...


def views(queue):
    """The argument of each job, and its view, in the order written."""
    return [(argument(record), record.view) for record in jobs(queue)]


def argument(record):
    args, kwargs = Signature.of(job).unpack(record.luggage)
    return [*args, *kwargs.values()][0]


async def test_each_job_waits_for_the_one_before(app, queue):
    """Break it: in bind (queue.py), return the jobs as they are."""

    def dependency(background: BackgroundTasks):
        background.add_task(job, "a")

    @app.get("/", dependencies=[Depends(dependency)])
    async def add(background: BackgroundTasks):
        background.add_task(job, "b")
        background.add_task(job, "c")

    await call(app, queue, "/")

    assert views(queue) == [("a", "queued"), ("b", "waiting"), ("c", "waiting")]


async def test_a_delayed_job_does_not_hold_up_those_behind_it(app, queue):
    """Break it: in _chained (queue.py), chain delayed jobs too."""

    @app.get("/")
    async def add(background: BackgroundTasks):
        background.add_task(job, "a")
        background.add_task(queue.options(job, delay=timedelta(hours=1)), "later")
        background.add_task(job, "b")

    await call(app, queue, "/")

    assert views(queue) == [("a", "queued"), ("later", "scheduled"), ("b", "waiting")]


async def test_jobs_of_two_requests_do_not_wait_for_each_other(app, queue):
    """Break it: in Receipt (fastapi/receipt.py), share one list of jobs between requests."""

    @app.get("/")
    async def add(background: BackgroundTasks):
        background.add_task(job, "a")

    await call(app, queue, "/")
    await call(app, queue, "/")

    assert views(queue) == [("a", "queued"), ("a", "queued")]


async def test_the_order_can_be_lifted(app, store):
    """Break it: in bind (queue.py), do not look at `ordered`."""
    queue = TaskQueue(app, store=store, worker="external", ordered=False)

    @app.get("/")
    async def add(tasks: BackgroundTasks):
        tasks.add_task(job, "a")
        tasks.add_task(job, "b")

    await call(app, queue, "/")

    assert views(queue) == [("a", "queued"), ("b", "queued")]
    queue.close()
