"""Handover to Celery: its workers, `celery -A main.celery_app worker -Q mail`, run the jobs of the queues they consume.

Celery acknowledges a message before it runs it, and knows no retries of ours: what is lost with a worker is published
again by the relay. Its time limits are lifted for our one task, as the jobs have limits of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any, ClassVar
from weakref import WeakSet

from outlast.errors import LuggageRefused, OptionRefused, TaskUnknown

try:
    import celery
    from celery import signals, states
    from celery.backends.base import DisabledBackend
    from kombu import serialization
    from kombu.exceptions import EncodeError
except ModuleNotFoundError as error:
    raise OptionRefused("CeleryHandover needs Celery: pip install 'outlast[celery]'") from error

from outlast.handed import Native, message_id
from outlast.handover.base import PATIENCE, BaseHandover, Publisher, raised, returned
from outlast.job import Offered, Outcome

_TASK = "outlast.attempt"
_OWN = "celery/"
_handed: WeakSet[celery.Celery] = WeakSet()
_YEARS = 10**8
"""Seconds: none at all would mean the worker's own limits."""


class CeleryHandover(BaseHandover):
    """Hands queues over to the workers of a Celery app: `TaskQueue(app, handover=CeleryHandover(celery_app))`.

    A queue has the same name there. `in_flight` messages of one queue may be under way at a time. One that no worker
    has taken within `lease` is taken for lost, and published again. Raises OptionRefused.
    """

    engine: ClassVar[str] = "celery"

    def __init__(
        self, app: celery.Celery, *, in_flight: int = 100, lease: timedelta = timedelta(minutes=1)
    ) -> None:
        super().__init__(in_flight=in_flight, lease=lease)
        if app in _handed:
            raise OptionRefused(
                "this Celery app has a CeleryHandover already: one may stand for many queues, "
                'handover={"mail": it, "reports": it}'
            )
        _handed.add(app)
        self.app = app
        self.task = app.task(
            self.run,
            name=_TASK,
            shared=False,
            ignore_result=True,
            acks_late=False,
            max_retries=0,
            rate_limit=None,
            serializer="json",
            time_limit=_YEARS,
            soft_time_limit=_YEARS,
            typing=False,
        )
        self._follow_worker()

    def publisher(self) -> Publisher:
        return CeleryPublisher(self)

    def native(self, func: Any) -> Native | None:
        if not isinstance(func, celery.Task) or func.app is not self.app:
            return None
        return Native(self.engine, f"{_OWN}{func.name}", func.run, partial(_check, self._named(func.name)))

    def native_func(self, name: str) -> Callable[..., Any]:
        func: Callable[..., Any] = self._named(name.removeprefix(_OWN)).run
        return func

    def tells_end(self, name: str) -> bool:
        task = self._named(name.removeprefix(_OWN))
        return not task.ignore_result and not isinstance(task.backend, DisabledBackend)

    def end_of(self, name: str, job_id: str, attempt: int) -> Outcome | None:
        result = self._named(name.removeprefix(_OWN)).AsyncResult(message_id(job_id, attempt))
        state = result.state
        if state == states.SUCCESS:
            return returned(result.result)
        if state in states.READY_STATES:
            error = result.result
            return raised(f"{type(error).__name__}: {error}", result.traceback or state)
        return None

    def _named(self, name: str) -> Any:
        try:
            return self.app.tasks[name]
        except self.app.tasks.NotRegistered:
            raise TaskUnknown(f"Celery's app has no task {name} in this code") from None

    def _follow_worker(self) -> None:
        """The worker's own process tells if it cannot reach the store; each of its processes leaves at its end."""
        signals.worker_init.connect(lambda **_: self.begin(), weak=False)
        signals.worker_process_shutdown.connect(lambda **_: self.leave(), weak=False)
        signals.worker_shutdown.connect(lambda **_: self.leave(), weak=False)


class CeleryPublisher(Publisher):
    """A connection of the relay's own, whose patience is short whatever the app's settings say."""

    def __init__(self, handover: CeleryHandover) -> None:
        self._handover = handover
        self._producer: Any = None

    def publish(self, job: Offered) -> None:
        self._handover.task.apply_async(
            args=(job.id, job.attempt),
            task_id=message_id(job.id, job.attempt),
            queue=job.queue,
            priority=_priority(job.priority, self._transport()),
            producer=self._connected(),
            retry=False,
        )

    def publish_native(self, job: Offered, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        priority = {"priority": _priority(job.priority, self._transport())} if job.priority else {}
        self._handover._named(job.task.removeprefix(_OWN)).apply_async(
            args=args,
            kwargs=kwargs,
            task_id=message_id(job.id, job.attempt),
            producer=self._connected(),
            retry=False,
            **priority,
        )

    def close(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            try:
                producer.connection.close()
            except Exception:  # it is broken already
                return

    def _connected(self) -> Any:
        if self._producer is None:
            connection = self._handover.app.connection_for_write(
                connect_timeout=PATIENCE,
                transport_options={**self._handover.app.conf.broker_transport_options, **_OPTIONS},
            )
            self._producer = self._handover.app.amqp.Producer(connection, auto_declare=False)
        return self._producer

    def _transport(self) -> str:
        driver: str = self._connected().connection.transport.driver_type
        return driver


_OPTIONS = {
    "socket_timeout": PATIENCE,
    "socket_connect_timeout": PATIENCE,
    "retry_on_timeout": False,
    "max_retries": 0,
    "confirm_publish": True,
    "read_timeout": PATIENCE,
    "write_timeout": PATIENCE,
}


def _priority(priority: int, transport: str) -> int:
    """In Celery's range: on Redis 0 goes first and 9 last, on RabbitMQ the other way round."""
    if transport == "redis":
        return 3 - 3 * max(-1, min(1, priority))
    return max(0, min(9, priority))


def _check(task: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """By the serializer that will write them."""
    serializer = task.serializer or task.app.conf.task_serializer
    try:
        serialization.dumps((args, kwargs), serializer=serializer)  # type: ignore[no-untyped-call]
    except EncodeError as error:
        raise LuggageRefused(
            f"{task.name}() is a task of Celery's own, and its serializer ({serializer}) cannot carry this: {error}; "
            "pass what it can carry, or make it a task of Outlast's"
        ) from error
