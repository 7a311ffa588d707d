"""Handover to RQ: `OUTLAST_APP=main:app rq worker mail -w outlast.handover.RQWorker` runs the jobs of the queue `mail`.

RQ's own worker forks for each job, and each fork would import the app anew. Ours runs one job after another in one
process, with the app's lifespan around them all. A job that kills its process ends the command: whatever starts it must
start it again.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import cache, partial
from typing import Any, ClassVar, Generic, ParamSpec, TypeVar

from outlast.errors import AppNotFound, LuggageRefused, OptionRefused, TaskUnknown

try:
    import redis
    import rq
    from rq.exceptions import NoSuchJobError
    from rq.job import JobStatus
    from rq.utils import import_attribute
    from rq.worker import SimpleWorker
except ModuleNotFoundError as error:
    raise OptionRefused("RQHandover needs RQ: pip install 'outlast[rq]'") from error

from outlast.handed import Native, message_id
from outlast.handover import attempts
from outlast.handover.base import BaseHandover, Publisher, raised, returned
from outlast.handover.redis_client import impatient
from outlast.job import Offered, Outcome
from outlast.queue import TaskQueue
from outlast.target import Target
from outlast.worker.app import find_queue

P = ParamSpec("P")
R = TypeVar("R")
_ENGINE = "rq"
_OWN = "rq/"
_APP = "OUTLAST_APP"
_KEPT = 3600
"""Seconds for which RQ remembers what was abandoned: the store does so for longer."""


class RQHandover(BaseHandover):
    """Hands queues over to RQ workers: `TaskQueue(app, handover=RQHandover(redis))`.

    A queue has the same name there; a job of a priority above 0 goes to its front. `in_flight` messages of one queue
    may be under way at a time. One that no worker has taken within `lease` is taken for lost, and published again.
    Raises OptionRefused.
    """

    engine: ClassVar[str] = _ENGINE

    def __init__(
        self, connection: redis.Redis, *, in_flight: int = 100, lease: timedelta = timedelta(minutes=1)
    ) -> None:
        super().__init__(in_flight=in_flight, lease=lease)
        self.connection = connection

    def publisher(self) -> Publisher:
        return RQPublisher(self.connection)

    def rq_function(self, func: Callable[P, R], *, queue: str = "default") -> RQFunction[P, R]:
        """A function as RQ's own workers run it, from one of RQ's queues: `add_task(handover.rq_function(f), …)`."""
        return RQFunction(func, queue, self)

    def native(self, func: Any) -> Native | None:
        if not isinstance(func, RQFunction) or func.handover is not self:
            return None
        name = f"{_OWN}{func.queue}/{func.func.__module__}.{func.func.__qualname__}"
        return Native(self.engine, name, func.func, partial(_check, func.func))

    def native_func(self, name: str) -> Callable[..., Any]:
        _, path = queue_and_path(name)
        try:
            func: Callable[..., Any] = import_attribute(path)
        except Exception as error:
            raise TaskUnknown(f"{path} cannot be imported: {error}") from error
        return func

    def tells_end(self, name: str) -> bool:
        return True

    def end_of(self, name: str, job_id: str, attempt: int) -> Outcome | None:
        try:
            job = rq.job.Job.fetch(message_id(job_id, attempt), connection=self.connection)
        except NoSuchJobError:
            return None
        status = job.get_status()
        if status == JobStatus.FINISHED:
            return returned(job.return_value())
        if status in (JobStatus.FAILED, JobStatus.STOPPED, JobStatus.CANCELED):
            result = job.latest_result()
            text = (result.exc_string if result else None) or str(status)
            return raised(text.strip().splitlines()[-1], text)
        return None


class RQPublisher(Publisher):
    """A connection of the relay's own, whose patience is short."""

    def __init__(self, connection: redis.Redis) -> None:
        self._connection = impatient(connection)

    def publish(self, job: Offered) -> None:
        rq.Queue(job.queue, connection=self._connection).enqueue_call(
            f"{__name__}.attempt",
            args=(job.id, job.attempt),
            job_id=message_id(job.id, job.attempt),
            description=job.task,
            at_front=job.priority > 0,
            timeout=-1,
            result_ttl=0,
            failure_ttl=_KEPT,
        )

    def publish_native(self, job: Offered, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        queue, path = queue_and_path(job.task)
        rq.Queue(queue, connection=self._connection).enqueue_call(
            path,
            args=args,
            kwargs=kwargs,
            job_id=message_id(job.id, job.attempt),
            at_front=job.priority > 0,
            result_ttl=_KEPT,
        )

    def close(self) -> None:
        self._connection.connection_pool.disconnect()


@dataclass(frozen=True, slots=True)
class RQFunction(Generic[P, R]):
    """A function of RQ's own, with the queue that it goes to."""

    func: Callable[P, R]
    queue: str
    handover: RQHandover

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.func(*args, **kwargs)


def queue_and_path(name: str) -> tuple[str, str]:
    """Of a native task: RQ's queue, and where the function is imported from."""
    queue, _, path = name.removeprefix(_OWN).rpartition("/")
    return queue, path


def _check(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """RQ pickles: what Outlast can carry, it can."""
    if "." in func.__qualname__:
        raise LuggageRefused(
            f"RQ imports functions by their names, and {func.__qualname__} is not a function of a module"
        )


# ---- in RQ's own processes


class RQWorker(SimpleWorker):
    """RQ's worker in one process, in which the app is imported once: `rq worker -w outlast.handover.RQWorker`."""

    def work(self, *args: Any, **kwargs: Any) -> bool:
        attempts.begin(app_queue())
        try:
            return super().work(*args, **kwargs)
        finally:
            attempts.leave()


def attempt(job_id: str, number: int) -> None:
    """What RQ calls for a message of ours."""
    attempts.run(app_queue(), _ENGINE, job_id, number)


@cache
def app_queue() -> TaskQueue:
    """The TaskQueue of the app that the environment names. Raises AppNotFound."""
    name = os.environ.get(_APP)
    if not name:
        raise AppNotFound(
            f"an RQ worker does not know your app: say where it is, as for uvicorn: {_APP}=main:app rq worker …"
        )
    return find_queue(Target.of_name(name))
