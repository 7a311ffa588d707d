"""Handover to Dramatiq: its workers, `dramatiq main -Q mail`, run the jobs of the queues they consume.

Dramatiq acknowledges a message once it has been run; one that comes again meanwhile is dropped by its fence. Retries
and time limits are lifted for our one actor, as the jobs have their own. A job that kills its process ends the whole
command: whatever starts it must start it again.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any, ClassVar, cast

from outlast.errors import LuggageRefused, OptionRefused, TaskUnknown

try:
    import dramatiq
    from dramatiq.middleware import Middleware, MiddlewareError
    from dramatiq.results import ResultFailure, ResultMissing, Results
except ModuleNotFoundError as error:
    raise OptionRefused("DramatiqHandover needs Dramatiq: pip install 'outlast[dramatiq]'") from error

from outlast.handed import Native, message_id
from outlast.handover.base import PATIENCE, BaseHandover, Publisher, raised, returned
from outlast.job import Offered, Outcome

_ACTOR = "outlast_attempt"
_OWN = "dramatiq/"
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

    def native(self, func: Any) -> Native | None:
        if not isinstance(func, dramatiq.Actor) or func.broker is not self.broker:
            return None
        return Native(self.engine, f"{_OWN}{func.actor_name}", func.fn, partial(_check, func))

    def native_func(self, name: str) -> Callable[..., Any]:
        return self.actor_of(name).fn

    def tells_end(self, name: str) -> bool:
        results = next((each for each in self.broker.middleware if isinstance(each, Results)), None)
        stores = self.actor_of(name).options.get(
            "store_results", results is not None and results.store_results
        )
        return results is not None and bool(stores)

    def end_of(self, name: str, job_id: str, attempt: int) -> Outcome | None:
        message: dramatiq.Message[Any] = (
            self.actor_of(name).message().copy(message_id=message_id(job_id, attempt))
        )
        try:
            return returned(message.get_result())
        except ResultMissing:
            return None
        except ResultFailure as failure:
            return raised(f"{failure.orig_exc_type}: {failure.orig_exc_msg}", str(failure))

    def actor_of(self, name: str) -> dramatiq.Actor[..., Any]:
        """The actor of a native task. Raises TaskUnknown."""
        try:
            return self.broker.get_actor(name.removeprefix(_OWN))
        except dramatiq.ActorNotFound:
            raise TaskUnknown(
                f"Dramatiq's broker has no actor {name.removeprefix(_OWN)} in this code"
            ) from None


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

    def publish_native(self, job: Offered, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        actor = self._handover.actor_of(job.task)
        options = self._options(job) if job.priority else {}
        message = actor.message_with_options(args=args, kwargs=kwargs, **options)
        self._handover.attempts_made.allowed = 1
        self._broker.enqueue(message.copy(message_id=message_id(job.id, job.attempt)))

    def _options(self, job: Offered) -> dict[str, Any]:
        most = getattr(self._broker, "max_priority", None)
        return {"broker_priority": max(0, min(most, job.priority))} if most else {}

    def close(self) -> None:
        if hasattr(self._broker, "client"):
            self._broker.client.connection_pool.disconnect()
        else:
            del self._broker.connection


def _check(actor: dramatiq.Actor[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """By the encoder that will write them."""
    try:
        actor.message_with_options(args=args, kwargs=kwargs).encode()
    except Exception as error:  # whatever the encoder raises
        raise LuggageRefused(
            f"{actor.actor_name}() is an actor of Dramatiq's own, and its encoder cannot carry this: {error}; "
            "pass what it can carry, or make it a task of Outlast's"
        ) from error
