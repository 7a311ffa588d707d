"""Whose a job is: what the queue's `owner=` dependency says in the request that adds the job, and in one that asks.

It is solved as a snapshot is, once for a request that adds jobs, when its response is about to start. A request that it
turns away (401, say, where everybody may sign up) adds jobs that are nobody's, and that nobody is shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

from anyio import from_thread

from outlast.errors import OptionRefused
from outlast.job import NewJob

if TYPE_CHECKING:
    from outlast.fastapi.receipt import Receipt


def owner_id(value: Any) -> str | None:
    """What the dependency returned, as it is stored. Raises OptionRefused for what is no id."""
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, (str, int, UUID)):
        raise OptionRefused(
            f"the dependency owner= returned {type(value).__name__}; it returns the id of whoever asks: a text, a "
            "number or a UUID; None for nobody"
        )
    return str(value)


async def owned(jobs: Sequence[NewJob], receipt: Receipt | None) -> list[NewJob]:
    """The jobs that a request adds, as its owner's, where they do not name another. Raises OptionRefused, and what the
    dependency raises."""
    if receipt is None or receipt.queue.owner is None or all(job.owner for job in jobs):
        return [*jobs]
    owner = await find_owner(receipt)
    return [job if job.owner else job._replace(owner=owner) for job in jobs]


def owned_in_thread(jobs: Sequence[NewJob], receipt: Receipt | None) -> list[NewJob]:
    """`owned`, in a thread that a `def` endpoint runs in. Where no loop can be asked, only jobs that say so have
    one."""
    if receipt is None or receipt.queue.owner is None:
        return [*jobs]
    try:
        return from_thread.run(owned, jobs, receipt)
    except RuntimeError:
        return [*jobs]


async def find_owner(receipt: Receipt) -> str | None:
    """Whose the jobs of a request are; the receipt has it from then on."""
    if receipt.queue.owner is not None and receipt.owner is None and receipt.scope["type"] == "http":
        found: list[Any] = []
        await receipt.queue.owned_by.solve(receipt, found.append)
        receipt.owner = owner_id(found[0]) if found else None
    return receipt.owner
