"""Jobs on a session of SQLAlchemy: the one module that imports it. SQLModel's sessions are SQLAlchemy's.

1. What is added waits in the session's `info`, with the number of savepoints around it.
2. When the session is about to commit, its rows are written, by one statement, on its own connection.
3. The session tells how it ended: committed, rolled back, a savepoint rolled back, closed.

An AsyncSession does all that through the Session within it, so both are one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, finalize

from sqlalchemy import Connection, Engine, event, text
from sqlalchemy.exc import UnboundExecutionError
from sqlalchemy.orm import Session, SessionTransaction

from outlast.errors import OptionRefused
from outlast.files.cargo import carries
from outlast.job import NewJob
from outlast.sessions import Entry, by_queue, keep, lose, put_in_order

if TYPE_CHECKING:
    from outlast.queue import TaskQueue

_KEY = "outlast"
"""Where a session's `info` keeps what waits for its commit."""
_CLOSED = (
    "its session was closed without a commit: end what the session does with commit(), where it is used or where it is "
    "made"
)


def add(session: Session, entries: Sequence[Entry]) -> None:
    """Put jobs of one queue onto a session. That begins its transaction, as adding a row of data does.

    Raises OptionRefused.
    """
    if not entries[0].queue.is_switched:
        _require_postgres(session)
    if not session.in_transaction():
        session.begin()
    ledger = session.info.get(_KEY)
    if ledger is None:
        ledger = session.info[_KEY] = _Ledger()
        finalize(session, ledger.abandon)
    ledger.add(session, entries)


class _Ledger:
    """The jobs of one session whose fate is open."""

    def __init__(self) -> None:
        self._entries: list[Entry] = []
        self._commits_begun = 0
        self._committed: int | None = None
        """How deep the transaction lay that has just committed."""
        self._is_rolled_back = False

    def add(self, session: Session, entries: Sequence[Entry]) -> None:
        """Somebody else who hears of the commit may add some: then the others have been written already."""
        depth = _depth(session.get_nested_transaction())
        for entry in entries:
            entry.depth = depth
        self._entries += entries
        if self._commits_begun and not depth:
            self._write(session)

    def begin_commit(self, session: Session) -> None:
        """A savepoint's end is not that of its transaction, unless the transaction ends with savepoints open."""
        self._commits_begun += 1
        if not session.in_nested_transaction():
            self._write(session)

    def note_commit(self, session: Session) -> None:
        self._commits_begun -= 1
        self._committed = _depth(session.get_nested_transaction())

    def note_rollback(self) -> None:
        self._is_rolled_back = True

    def end(self, session: Session, transaction: SessionTransaction) -> None:
        """A transaction or a savepoint has ended."""
        if transaction.parent is not None and not transaction.nested:
            return  # what a flush works in
        depth = _depth(transaction)
        is_committed, is_rolled_back = self._committed == depth, self._is_rolled_back
        self._committed, self._is_rolled_back = None, False
        if not (is_committed and depth):
            self._commits_begun = 0
        if depth:
            self._end_savepoint(session, depth, is_committed)
        elif is_committed:
            self._keep()
        else:
            self._lose("its session was rolled back" if is_rolled_back else _CLOSED)

    def abandon(self) -> None:
        """The session is gone, and nobody has closed it."""
        self._lose(_CLOSED)

    def _end_savepoint(self, session: Session, depth: int, is_committed: bool) -> None:
        if not is_committed:
            lost = [entry for entry in self._entries if entry.depth >= depth]
            self._entries = [entry for entry in self._entries if entry.depth < depth]
            lose(lost, "the savepoint that it was added in was rolled back")
            return
        for entry in self._entries:
            entry.depth = min(entry.depth, depth - 1)
        if self._commits_begun and depth == 1:
            self._write(session)

    def _write(self, session: Session) -> None:
        for queue, entries in by_queue(entry for entry in self._entries if not entry.is_written).items():
            put_in_order(queue, entries)
            if not queue.is_switched:
                _insert(session.connection(), queue, [entry.job for entry in entries])
            for entry in entries:
                entry.is_written = True

    def _keep(self) -> None:
        entries, self._entries = self._entries, []
        for queue, kept in by_queue(entries).items():
            if queue.is_switched:
                queue.commit([entry.job for entry in kept])
        keep(entries)

    def _lose(self, why: str) -> None:
        entries, self._entries = self._entries, []
        lose(entries, why)


def _depth(transaction: SessionTransaction | None) -> int:
    """How many savepoints a transaction lies within, itself among them."""
    depth = 0
    while transaction is not None:
        depth += transaction.nested
        transaction = transaction.parent
    return depth


# ---- writing -------------------------------------------------------------------------------------------------------

_vouched: WeakKeyDictionary[Engine, set[str]] = WeakKeyDictionary()
"""The stores that lie in the database of an engine."""


def _require_postgres(session: Session) -> None:
    try:
        dialect = session.get_bind().dialect.name
    except UnboundExecutionError as error:
        raise OptionRefused(
            f"session={session!r} has no database of its own for a job's row; give one that is bound to an engine: "
            "Session(engine)"
        ) from error
    if dialect != "postgresql":
        raise OptionRefused(
            f"session={session!r} is one of {dialect}, and the store is in PostgreSQL: a job's row can be written only "
            "in a transaction of that database; leave the session out (session=None)"
        )


def _insert(connection: Connection, queue: TaskQueue, rows: list[NewJob]) -> None:
    from outlast.store import foreign  # not above: a test's store needs no driver of PostgreSQL

    _vouch(connection, queue)
    if carries(rows):
        rows = _stowed(connection, queue, rows)
    insert = foreign.insert(queue.url, rows)
    connection.execute(text(insert.sql), insert.parameters)


def _vouch(connection: Connection, queue: TaskQueue) -> None:
    """Once for an engine: another database may have such tables, too."""
    from outlast.store import foreign

    stores = _vouched.setdefault(connection.engine, set())
    if queue.url not in stores:
        where = foreign.whereabouts(queue.url)
        found = connection.execute(text(where.sql), where.parameters).fetchone()
        foreign.require_same(queue.url, found, queue.ask(foreign.whereabouts_of))
        stores.add(queue.url)


def _stowed(connection: Connection, queue: TaskQueue, rows: Sequence[NewJob]) -> list[NewJob]:
    """With their files stored; on an AsyncSession the loop goes on meanwhile."""
    if not connection.dialect.is_async:
        return list(queue.freight.stow(rows))
    adapted: Any = connection.connection.dbapi_connection
    stowed: Sequence[NewJob] = adapted.run_async(lambda _: asyncio.to_thread(queue.freight.stow, rows))
    return list(stowed)


# ---- what sessions tell --------------------------------------------------------------------------------------------


@event.listens_for(Session, "before_commit")
def _before_commit(session: Session) -> None:
    if (ledger := session.info.get(_KEY)) is not None:
        ledger.begin_commit(session)


@event.listens_for(Session, "after_commit")
def _after_commit(session: Session) -> None:
    if (ledger := session.info.get(_KEY)) is not None:
        ledger.note_commit(session)


@event.listens_for(Session, "after_rollback")
def _after_rollback(session: Session) -> None:
    if (ledger := session.info.get(_KEY)) is not None:
        ledger.note_rollback()


@event.listens_for(Session, "after_transaction_end")
def _after_transaction_end(session: Session, transaction: SessionTransaction) -> None:
    if (ledger := session.info.get(_KEY)) is not None:
        ledger.end(session, transaction)
