"""Handover to Dramatiq: its workers, `dramatiq main -Q mail`, run the jobs of the queues they consume.

Dramatiq acknowledges a message once it has been run; one that comes again meanwhile is dropped by its fence. Retries
and time limits are lifted for our one actor, as the jobs have their own. A job that kills its process ends the whole
command: whatever starts it must start it again.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, ClassVar, cast

from outlast.errors import OptionRefused

try:
    import dramatiq
    from dramatiq.middleware import Middleware, MiddlewareError
except ModuleNotFoundError as error:  # pragma: no cover
    raise OptionRefused("DramatiqHandover needs Dramatiq: pip install 'outlast[dramatiq]'") from error

from outlast.handed import message_id
from outlast.handover.base import PATIENCE, BaseHandover, Publisher
from outlast.job import Offered

_ACTOR = "outlast_attempt"
_OPTIONS = {"max_retries": 0, "time_limit": float("inf")}


class DramatiqHandover(BaseHandover):
    """Hands queues over to the workers of a Dramatiq broker: `TaskQueue(app, handover=DramatiqHandover(broker))`.

    A queue has the same name there; give RabbitMQ's broker a `max_priority` if jobs have priorities. `in_flight`
    messages of one queue may be under way at a time. One that no worker has taken within `lease` is taken for lost, and
    published again. Raises OptionRefused.
    """

    engine: ClassVar[str] = "dramatiq"

    def __init__(
        self, broker: dramatiq.Broker, *, in_flight: int = 100, lease: timedelta = timedelta(minutes=1)
    ) -> None:
        super().__init__(in_flight=in_flight, lease=lease)
        self.broker = broker
        self.attempts_made = AttemptsMade()
        broker.add_middleware(Follower(self))
        broker.add_middleware(self.attempts_made)
        options: dict[str, Any] = {
            name: value for name, value in _OPTIONS.items() if name in broker.actor_options
        }
        dramatiq.actor(actor_name=_ACTOR, broker=broker, **options)(self.run)

    def know(self, name: str) -> None:
        self.broker.declare_queue(name)

    def publisher(self) -> Publisher:
        return DramatiqPublisher(self)


class Follower(Middleware):
    """Follows the worker: it tells if it cannot reach the store, and leaves at its end."""

    def __init__(self, handover: DramatiqHandover) -> None:
        self._handover = handover

    def before_worker_boot(self, broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:
        self._handover.begin()

    def after_worker_shutdown(self, broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:
        self._handover.leave()


class GivenUpError(MiddlewareError):
    """The broker did not take a message at once."""


class AttemptsMade(Middleware):
    """Lets the broker be asked once for each message: RabbitMQ's would be asked six times."""

    def __init__(self) -> None:
        self.allowed: int | None = None

    def before_enqueue(self, broker: dramatiq.Broker, message: dramatiq.Message[Any], delay: int) -> None:
        if self.allowed is None:
            return
        if self.allowed == 0:
            raise GivenUpError("the broker did not confirm the message, or closed the connection")
        self.allowed -= 1


class DramatiqPublisher(Publisher):
    """The user's broker in the relay, where nobody else uses it: made impatient."""

    def __init__(self, handover: DramatiqHandover) -> None:
        self._handover = handover
        self._broker = cast("Any", handover.broker)
        if hasattr(self._broker, "client"):
            from outlast.handover.redis_client import impatient

            self._broker.client = impatient(self._broker.client)
            for script in self._broker.scripts.values():
                script.registered_client = self._broker.client
        else:
            self._be_impatient()

    def _be_impatient(self) -> None:
        self._broker.confirm_delivery = True
        parameters = self._broker.parameters
        for each in parameters if isinstance(parameters, list) else [parameters]:
            each.socket_timeout = each.stack_timeout = each.blocked_connection_timeout = PATIENCE
            each.connection_attempts, each.heartbeat = 1, int(PATIENCE)

    def publish(self, job: Offered) -> None:
        self._handover.attempts_made.allowed = 1
        self._broker.enqueue(
            dramatiq.Message(
                queue_name=job.queue,
                actor_name=_ACTOR,
                args=(job.id, job.attempt),
                kwargs={},
                options=self._options(job),
                message_id=message_id(job.id, job.attempt),
            )
        )

    def _options(self, job: Offered) -> dict[str, Any]:
        most = getattr(self._broker, "max_priority", None)
        return {"broker_priority": max(0, min(most, job.priority))} if most else {}

    def close(self) -> None:
        if hasattr(self._broker, "client"):
            self._broker.client.connection_pool.disconnect()
        else:
            del self._broker.connection
