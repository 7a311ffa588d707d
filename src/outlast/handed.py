"""Queues that are handed over: an engine's workers run their jobs, and a relay publishes what is due. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta


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


def is_among(queue: str, names: Iterable[str | None]) -> bool:
    """Whether a queue is one of these, of which None stands for all."""
    return any(name is None or name == queue for name in names)


def message_id(job_id: str, attempt: int) -> str:
    """The id that the message of an attempt has with its engine: ours, so that nothing need be written back."""
    return f"{job_id}-{attempt}"
