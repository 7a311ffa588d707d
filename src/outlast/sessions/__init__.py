"""The caller's own session: its jobs are written in the caller's transaction, and share the fate of the caller's data.

What is put onto a session is an `Entry`. How a session tells of its end, and when the rows are written, is the
business of `of_sqlalchemy` and `of_psycopg`; neither library is imported before a session of its kind is there.
"""

from __future__ import annotations

import logging
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from outlast.address import is_postgres, shown
from outlast.errors import OptionRefused
from outlast.job import NewJob, described
from outlast.store import JobFilter, Store
from outlast.task import OF_REQUEST

if TYPE_CHECKING:
    from outlast.queue import TaskQueue

_log = logging.getLogger("outlast.request")


class Adder(Protocol):
    """Who put jobs onto a session, and hears what became of them."""

    def committed(self, jobs: list[NewJob]) -> None:
        """They are in the store."""

    def lost(self, jobs: list[NewJob], why: str) -> None:
        """They never will be."""


class Entry:
    """One job on a session, and what a handle on it waits for."""

    __slots__ = (
        "adder",
        "depth",
        "is_open",
        "is_ordered",
        "is_reported",
        "is_under_way",
        "is_written",
        "job",
        "queue",
    )

    decided_when: ClassVar[str] = "when its session commits"

    def __init__(self, job: NewJob, queue: TaskQueue, adder: Adder, *, is_ordered: bool = False) -> None:
        self.job = job
        self.queue = queue
        self.adder = adder
        self.is_ordered = is_ordered
        """Whether it first starts behind those that its request put onto the session before it."""
        self.depth = 0
        """How many savepoints it was added within."""
        self.is_written = False
        """Whether its row is where the session's own data is."""
        self.is_open = True
        """Nobody has told yet what became of it."""
        self.is_under_way: Callable[[], bool] = lambda: True
        """Whether its transaction is, as far as its session lets us see."""
        self.is_reported = False
        """Whether its loss has been told already."""

    @property
    def undecided(self) -> bool:
        """Whether it can still be committed."""
        return self.is_open and self.is_under_way()

    @property
    def needs_caller(self) -> bool:
        """Whoever waits for it here has yet to commit."""
        return self.undecided


class Outside:
    """Adds jobs by `enqueue` and its like, wherever that is."""

    def __init__(self, queue: TaskQueue) -> None:
        self._queue = queue

    def committed(self, jobs: list[NewJob]) -> None:
        self._queue.committed(jobs)

    def lost(self, jobs: list[NewJob], why: str) -> None:
        _log.warning("%d job(s) discarded, because %s; discarded: %s", len(jobs), why, described(jobs))


def chosen(session: Any, queue: TaskQueue) -> Any:
    """The session that a call goes with, or None. A test's store can follow only what tells of its commit.

    Raises OptionRefused for what is no session.
    """
    if session is OF_REQUEST or session is None:
        return None
    session = _current(session)
    is_connection = _is_connection(session)
    if not is_connection and _sync_session_of(session) is None:
        raise OptionRefused(
            f"session={session!r}: give SQLAlchemy's Session or AsyncSession, or psycopg's Connection or "
            "AsyncConnection"
        )
    return None if is_connection and queue.is_switched else session


def add(session: Any, entries: Sequence[Entry]) -> None:
    """Put jobs of one queue onto a session that was chosen for it. Raises OptionRefused."""
    queue = entries[0].queue
    if not queue.is_switched:
        require_store(queue.url, f"session={session!r}")
    if _is_one(session, "psycopg", "AsyncConnection"):
        raise OptionRefused(
            f"session={session!r}: a row on psycopg's AsyncConnection has to be awaited, and here nothing can be; "
            "await queue.aenqueue(task.options(session=connection), …) instead"
        )
    if _is_connection(session):
        from outlast.sessions import of_psycopg

        of_psycopg.add(session, entries)
    else:
        from outlast.sessions import of_sqlalchemy

        of_sqlalchemy.add(_sync_session_of(session), entries)


async def aadd(session: Any, entries: Sequence[Entry]) -> None:
    """`add` where it can be awaited."""
    if _is_one(session, "psycopg", "AsyncConnection"):
        from outlast.sessions import of_psycopg

        require_store(entries[0].queue.url, f"session={session!r}")
        await of_psycopg.aadd(session, entries)
    else:
        add(session, entries)


def require_store(url: str, what: str) -> None:
    """Raises OptionRefused for a store that no session of a caller's can write to."""
    if not is_postgres(url):
        raise OptionRefused(
            f"{what} with the store {shown(url)}: only a store in the caller's own PostgreSQL database shares its "
            "transactions; use TaskQueue(app, store='postgresql://…'), or leave the session out"
        )


def lose(entries: Iterable[Entry], why: str) -> None:
    """Tell whoever added these that they are not to be."""
    for adder, lost in _by_adder(entries).items():
        for entry in lost:
            entry.is_open = False
        if untold := [entry.job for entry in lost if not entry.is_reported]:
            adder.lost(untold, why)
        for entry in lost:
            entry.is_reported = True


def keep(entries: Iterable[Entry]) -> None:
    """Tell whoever added these that they are committed."""
    for adder, kept in _by_adder(entries).items():
        for entry in kept:
            entry.is_open = False
        adder.committed([entry.job for entry in kept])


def ask_after(entries: Iterable[Entry], why: str) -> None:
    """Have the store say which of these are committed, and tell that the others are not. Nobody waits for it."""
    for queue, asked in by_queue(entry for entry in entries if entry.is_open).items():
        which = JobFilter(ids=tuple(entry.job.id for entry in asked))
        answer = queue.post(partial(_find, which, len(asked)))
        answer.add_done_callback(partial(_hear, asked, why))


def _find(which: JobFilter, limit: int, store: Store) -> set[str]:
    return {record.id for record in store.find(which, limit=limit)}


def _hear(entries: list[Entry], why: str, answer: Future[set[str]]) -> None:
    if (error := answer.exception()) is not None:
        jobs = described([entry.job for entry in entries])
        _log.error("whether their session has committed them is not known: %s: %s", jobs, error)
        return
    there = answer.result()
    missing = [entry for entry in entries if entry.is_open and entry.job.id not in there]
    for entry in entries:
        entry.is_open = False
    lose(missing, why)
    entries[0].queue.rouse()


def by_queue(entries: Iterable[Entry]) -> dict[TaskQueue, list[Entry]]:
    found: dict[TaskQueue, list[Entry]] = defaultdict(list)
    for entry in entries:
        found[entry.queue].append(entry)
    return found


def put_in_order(queue: TaskQueue, entries: Sequence[Entry]) -> None:
    """Bind the rows of those that their requests have ordered to one another."""
    ordered = [entry for entry in entries if entry.is_ordered]
    for entry, row in zip(ordered, queue.bind([entry.job for entry in ordered]), strict=True):
        entry.job = row


def _by_adder(entries: Iterable[Entry]) -> dict[Adder, list[Entry]]:
    found: dict[Adder, list[Entry]] = defaultdict(list)
    for entry in entries:
        found[entry.adder].append(entry)
    return found


# ---- what a session is ---------------------------------------------------------------------------------------------


def _current(session: Any) -> Any:
    """The session that a scoped one stands for here and now."""
    is_scoped = _is_one(session, "sqlalchemy.orm", "scoped_session") or _is_one(
        session, "sqlalchemy.ext.asyncio", "async_scoped_session"
    )
    return session() if is_scoped else session


def _sync_session_of(session: Any) -> Any:
    """SQLAlchemy's Session, also that within an AsyncSession; None for anything else."""
    if _is_one(session, "sqlalchemy.ext.asyncio", "AsyncSession"):
        return session.sync_session
    return session if _is_one(session, "sqlalchemy.orm", "Session") else None


def _is_connection(session: Any) -> bool:
    return _is_one(session, "psycopg", "Connection") or _is_one(session, "psycopg", "AsyncConnection")


def _is_one(value: object, module: str, name: str) -> bool:
    """Whether it is an object of this class, of a module that nobody may have imported: then it is not."""
    kind = getattr(sys.modules.get(module), name, None)
    return kind is not None and isinstance(value, kind)
