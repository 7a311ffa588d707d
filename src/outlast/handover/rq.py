"""Handover to RQ: `OUTLAST_APP=main:app rq worker mail -w outlast.handover.RQWorker` runs the jobs of the queue `mail`.

RQ's own worker forks for each job, and each fork would import the app anew. Ours runs one job after another in one
process, with the app's lifespan around them all. A job that kills its process ends the command: whatever starts it must
start it again.
"""

from __future__ import annotations

import os
from datetime import timedelta
from functools import cache
from typing import Any, ClassVar

from outlast.errors import AppNotFound, OptionRefused

try:
    import redis
    import rq
    from rq.worker import SimpleWorker
except ModuleNotFoundError as error:  # pragma: no cover
    raise OptionRefused("RQHandover needs RQ: pip install 'outlast[rq]'") from error

from outlast.handed import message_id
from outlast.handover import attempts
from outlast.handover.base import BaseHandover, Publisher
from outlast.handover.redis_client import impatient
from outlast.job import Offered
from outlast.queue import TaskQueue
from outlast.target import Target
from outlast.worker.app import find_queue

_ENGINE = "rq"
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

    def close(self) -> None:
        self._connection.connection_pool.disconnect()


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
