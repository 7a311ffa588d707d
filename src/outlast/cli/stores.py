"""The store as commands use it: opened but never made, asked by pieces of ids, its worker told of what changed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import TYPE_CHECKING

from outlast.cli.exits import UNUSABLE, Failure
from outlast.clock import to_instant
from outlast.errors import JobNotFound, OutlastError
from outlast.job import is_id
from outlast.premises import Premises

if TYPE_CHECKING:
    from outlast.store import Store, WorkerRecord

_LEAST = 6
"""Characters of an id that are enough to look for it."""
_SHOWN = 5


@contextmanager
def opened(url: str) -> Iterator[Store]:
    """The store of a URL, closed at the end. Raises StoreUnusable, also where there is none yet."""
    from outlast.store import open_store

    store = open_store(url, create=False)
    try:
        yield store
    finally:
        store.close()


def now_of(store: Store) -> datetime:
    """The time as the store tells it."""
    return to_instant(store.clock.now())


def full_id(store: Store, given: str) -> str:
    """The id that a person gave whole, or a beginning or end of. Raises Failure, JobNotFound."""
    part = given.strip("….").lower()
    if is_id(part):
        return part
    if len(part) < _LEAST:
        raise Failure(
            f"{given!r} is too little of an id; give at least {_LEAST} characters of its end", UNUSABLE
        )
    found = store.ids_like(part, limit=_SHOWN + 1)
    if not found:
        raise JobNotFound(f"no job in {store.url} has an id that begins or ends with {given!r}")
    if len(found) > 1:
        raise Failure(_ambiguous(given, found), UNUSABLE)
    return found[0]


def _ambiguous(given: str, found: list[str]) -> str:
    some = ", ".join(found[:_SHOWN]) + (", …" if len(found) > _SHOWN else "")
    return f"{given!r} is part of more than one id: {some}; give more of it"


def ring(store: Store) -> None:
    """Let the worker of this machine, if any, look at once for what has changed. Others find it within a second."""
    from outlast.store.link import ring as ring_bell

    with suppress(OutlastError):
        ring_bell(Premises(store.url).socket)


def serves(workers: Iterable[WorkerRecord], queue: str) -> bool:
    """Whether one of these workers takes jobs of this queue."""
    return any(worker.serves(queue) for worker in workers)
