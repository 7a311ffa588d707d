"""Outcomes as messages: what a child tells its supervisor of an attempt's end."""

from __future__ import annotations

from typing import Any

from outlast.job import Ended, Erred, Outcome, Released, Snoozed, Stopped, Succeeded

_KINDS: dict[str, type[Outcome]] = {
    kind.__name__: kind for kind in (Succeeded, Erred, Released, Snoozed, Stopped)
}


def to_message(job_id: str, attempt: int, outcome: Outcome) -> list[Any]:
    """[id, attempt, kind, fields…]"""
    fields: tuple[str, ...] = type(outcome).__slots__
    return [job_id, attempt, type(outcome).__name__, *(getattr(outcome, name) for name in fields)]


def from_message(message: list[Any]) -> Ended:
    job_id, attempt, kind, *fields = message
    return Ended(job_id, attempt, _KINDS[kind](*fields))
