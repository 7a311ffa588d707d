"""Outcomes as messages: what a child tells its supervisor of an attempt's end."""

from __future__ import annotations

import traceback
from typing import Any

from outlast.job import SUCCEEDED, Ended, Erred, NewJob, Outcome, Released, Snoozed, Stopped, Succeeded

_KINDS: dict[str, type[Outcome]] = {
    kind.__name__: kind for kind in (Succeeded, Erred, Released, Snoozed, Stopped)
}


def to_message(job_id: str, attempt: int, outcome: Outcome) -> list[Any]:
    """[id, attempt, kind, fields…]"""
    fields: tuple[str, ...] = type(outcome).__slots__
    return [job_id, attempt, type(outcome).__name__, *(getattr(outcome, name) for name in fields)]


def from_message(message: list[Any]) -> Ended:
    job_id, attempt, kind, *fields = message
    if kind == "Succeeded":
        result, added, file = fields
        if result is None and not added and file is None:
            return Ended(job_id, attempt, SUCCEEDED)
        return Ended(job_id, attempt, Succeeded(result, tuple(map(NewJob._make, added)), file))
    return Ended(job_id, attempt, _KINDS[kind](*fields))


def unwritable(error: Exception) -> Outcome:
    """What takes the place of an outcome that the store refused, such as a delay of a million years."""
    return Erred(
        f"its outcome could not be stored: {type(error).__name__}: {error}",
        "".join(traceback.format_exception(error)),
    )
