"""Queues that are handed over: an engine's workers run their jobs, and a relay publishes what is due. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any, NamedTuple, Protocol

from outlast.clock import span

ENTRUSTED = "handed over; its end is to come"
"""The note of a job that is a task of an engine's own, once the engine has it: its end is read back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Handed:
    """A queue that is handed over, and how."""

    queue: str | None
    """Its name; None for every queue."""
    engine: str
    """Whose workers run its jobs: celery, rq, dramatiq."""
    in_flight: int
    """Messages of one queue that may be under way at a time."""
    lease: timedelta
    """How long a message may be under way before it is taken for lost."""
    is_native: bool = False
    """Whether its jobs are tasks of the engine's own: what the broker has of them is not published again."""

    def to_message(self) -> dict[str, Any]:
        return {**asdict(self), "lease": span(self.lease)}

    @classmethod
    def from_message(cls, fields: dict[str, Any]) -> Handed:
        return cls(**{**fields, "lease": timedelta(microseconds=fields["lease"])})


class Native(NamedTuple):
    """A function that is a task of an engine's own."""

    engine: str
    name: str
    """What a job of it is called."""
    func: Callable[..., Any]
    """The plain function in it, which says what it takes."""
    check: Callable[[tuple[Any, ...], dict[str, Any]], None]
    """Raises LuggageRefused for arguments that its engine cannot carry."""


class Handover(Protocol):
    """What a queue is handed over by: `outlast.handover` has one for each engine."""

    @property
    def engine(self) -> str: ...

    @property
    def in_flight(self) -> int: ...

    @property
    def lease(self) -> timedelta: ...

    def attach(self, queue: Any) -> None:
        """Belong to a TaskQueue. Raises OptionRefused for one that belongs to another."""

    def know(self, name: str) -> None:
        """A queue of this name may get jobs."""

    def native(self, func: Any) -> Native | None:
        """What a function is to the engine; None if it is no task of its own."""


def is_among(queue: str, names: Iterable[str | None]) -> bool:
    """Whether a queue is one of these, of which None stands for all."""
    return any(name is None or name == queue for name in names)


def message_id(job_id: str, attempt: int) -> str:
    """The id that the message of an attempt has with its engine: ours, so that nothing need be written back."""
    return f"{job_id}-{attempt}"
