"""What all handovers have in common: the TaskQueue they belong to, how much may be under way, how an attempt is run.

An engine's own module says how a message is published, and which function of ours its workers call with it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from datetime import timedelta
from typing import Any, ClassVar, Protocol

from outlast.address import shown
from outlast.errors import LuggageRefused, OptionRefused
from outlast.handed import Native
from outlast.handover import attempts
from outlast.job import Erred, Offered, Outcome, Succeeded
from outlast.luggage import pack_value
from outlast.queue import TaskQueue

PATIENCE = 2.0
"""Seconds that a broker has for anything it is asked."""


class Publisher(Protocol):
    """A connection to a broker, in the relay, used by one thread."""

    def publish(self, job: Offered) -> None:
        """Give the message of a job to the broker, within PATIENCE; raises whatever says that it has not got it."""

    def publish_native(self, job: Offered, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Give a task of the engine's own to the broker, as its own client would. Raises as `publish` does."""

    def close(self) -> None:
        """Give up the connection: the next message makes a new one. Never raises."""


class BaseHandover(ABC):
    """Hands queues over to an engine.

    `in_flight` messages of one queue may be under way at a time. One that no worker has taken within `lease` is taken
    for lost, and published again. Raises OptionRefused.
    """

    engine: ClassVar[str]

    def __init__(self, *, in_flight: int = 100, lease: timedelta = timedelta(minutes=1)) -> None:
        if in_flight < 1:
            raise OptionRefused(f"in_flight={in_flight!r}: give a whole number of messages, at least 1")
        if lease <= timedelta(0):
            raise OptionRefused(f"lease={lease!r}: give a timedelta, such as timedelta(minutes=1)")
        self.in_flight = in_flight
        self.lease = lease
        self._queue: TaskQueue | None = None

    def attach(self, queue: TaskQueue) -> None:
        """Belong to a TaskQueue. Raises OptionRefused for one that belongs to another."""
        if self._queue is not None and self._queue is not queue:
            raise OptionRefused(
                f"this {type(self).__name__} belongs to the TaskQueue of {shown(self._queue.url)}; make another"
            )
        self._queue = queue

    @property
    def queue(self) -> TaskQueue:
        """The TaskQueue whose jobs it hands over."""
        if self._queue is None:
            raise OptionRefused(
                f"this {type(self).__name__} belongs to no TaskQueue; give it to one: TaskQueue(app, handover=…)"
            )
        return self._queue

    def know(self, name: str) -> None:  # noqa: B027
        """A queue of this name may get jobs: for engines that must declare it."""

    @abstractmethod
    def native(self, func: Any) -> Native | None:
        """What a function is to the engine; None if it is no task of its own."""

    @abstractmethod
    def native_func(self, name: str) -> Callable[..., Any]:
        """The plain function of a native task. Raises TaskUnknown."""

    @abstractmethod
    def tells_end(self, name: str) -> bool:
        """Whether the engine keeps what becomes of this task of its own."""

    @abstractmethod
    def end_of(self, name: str, job_id: str, attempt: int) -> Outcome | None:
        """What became of it; None while it does not tell."""

    @abstractmethod
    def publisher(self) -> Publisher:
        """A way to the broker, not yet connected."""

    # ---- in a process of the engine

    def run(self, job_id: str, attempt: int) -> None:
        """Run one attempt here, and settle it in the store. Never raises: the engine is to forget the message."""
        attempts.run(self.queue, self.engine, job_id, attempt)

    def begin(self) -> None:
        """This process is the engine's: TaskQueue starts nothing in it. Says so if it cannot reach the store."""
        attempts.begin(self.queue)

    def leave(self) -> None:
        """This process ends: leave the app's lifespan, and the store."""
        attempts.leave()


def returned(value: Any) -> Outcome:
    """The end of a native task that returned a value; one that cannot be kept is left with the engine."""
    try:
        return Succeeded(None if value is None else pack_value(value))
    except LuggageRefused:
        return Succeeded(None)


def raised(error: str, traceback: str) -> Outcome:
    """The end of a native task that failed for good: whether it was tried again was for its engine to say."""
    return Erred(error, traceback, again=False)
