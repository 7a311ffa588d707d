"""Runs a job again, with its arguments as they were or as a person changed them, checked by the task's signature."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from outlast.errors import LuggageRefused
from outlast.job import new_id
from outlast.luggage.kinds import MAKERS
from outlast.queue import TaskQueue
from outlast.worker.executor import signature_of

_VALUES = {*MAKERS, "@"}
"""The kinds that name nothing."""


async def run_again(queue: TaskQueue, job_id: str, text: str) -> str:
    """Add a job like this one, with these arguments as JSON; its id.

    Raises JobNotFound, TaskUnknown where this code lacks the task, LuggageRefused, LuggageTooLarge, FileMissing.
    """
    job = await queue.job(job_id).arecord()
    before = await queue.atext(job.luggage, f"what job {job_id} carries")
    signature = signature_of(job.task, queue)
    luggage = signature.edited(text, limit=queue.payload_limit)
    _require_known_names(before, luggage)
    again = new_id()
    await queue.atell(lambda store: store.copy(job_id, again, luggage))
    queue.ring()
    return again


def _require_known_names(before: str, after: str) -> None:
    """A person may change values, but not have code or files looked up that the job did not know of."""
    strange = {*_named(json.loads(after))} - {*_named(json.loads(before))}
    if strange:
        raise LuggageRefused(
            f"the job's own arguments name no {min(strange)!r}; use the classes and files that are there, or enqueue "
            "it from code"
        )


def _named(packed: Any) -> Iterator[str]:
    """The classes, functions and stored files that stand among packed values."""
    if isinstance(packed, list):
        for each in packed:
            yield from _named(each)
    elif isinstance(packed, dict):
        tagged = packed.get("$")
        if isinstance(tagged, list):
            yield from (each for each in tagged[1:2] if isinstance(each, str) and tagged[0] not in _VALUES)
        for each in packed.values():
            yield from _named(each)
