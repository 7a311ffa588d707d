"""The store as commands use it: opened but never made, asked by pieces of ids, its worker told of what changed."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from outlast.cli.exits import UNUSABLE, Failure, complain
from outlast.clock import to_instant
from outlast.errors import JobNotFound, OutlastError
from outlast.files import files_url, open_files
from outlast.files.freight import read_text
from outlast.job import is_id
from outlast.luggage.stand_in import stood_for
from outlast.premises import Premises

if TYPE_CHECKING:
    from outlast.job import JobRecord
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


def whole(job: JobRecord, store: Store) -> JobRecord:
    """A job with its arguments and result read from where they lie, if they are too large for a row.

    They lie beside the store, or where OUTLAST_FILES says. What cannot be read stays as the row has it.
    """
    luggage = _whole(job.luggage, f"what job {job.id} carries", store)
    result = None if job.result is None else _whole(job.result, f"the result of job {job.id}", store)
    return replace(job, luggage=luggage, result=result)


def _whole(text: str, what: str, store: Store) -> str:
    if stood_for(text) is None:
        return text
    try:
        return read_text(open_files(files_url(os.environ.get("OUTLAST_FILES"), store.url)), text, what)
    except OutlastError as error:
        complain(str(error))
        return text


def _ambiguous(given: str, found: list[str]) -> str:
    some = ", ".join(found[:_SHOWN]) + (", …" if len(found) > _SHOWN else "")
    return f"{given!r} is part of more than one id: {some}; give more of it"


def ring(store: Store) -> None:
    """Let the workers look at once for what has changed. Whoever does not hear it finds it within a second."""
    from outlast.store.link import ring as ring_bell

    with suppress(OutlastError):
        ring_bell(Premises(store.url).socket)
        store.announce()


def serves(workers: Iterable[WorkerRecord], queue: str) -> bool:
    """Whether one of these workers takes jobs of this queue, or hands them over."""
    return any(worker.looks_after(queue) for worker in workers)
