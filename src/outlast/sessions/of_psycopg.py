"""Jobs on a connection of psycopg: their rows are written at once, because a connection does not tell when it commits.

What a savepoint takes back is gone with it, and the database itself says which of the jobs before a new one are left
for it to wait for. The steps are the same whether the connection is awaited or not, so they are written once.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, finalize, ref

from outlast.job import NewJob
from outlast.sessions import Entry, ask_after
from outlast.store import foreign
from outlast.store import postgres_driver as driver
from outlast.store.foreign import Statement
from outlast.store.postgres_connection import for_driver

if TYPE_CHECKING:
    from outlast.queue import TaskQueue

Row = tuple[Any, ...]
Steps = Generator[Statement, list[Row], None]
"""Statements to be run, each of which is sent what it answers."""


_NOT_COMMITTED = "its connection has not committed it: end what the connection does with commit()"


class _Book:
    """What a connection has written in the transaction that it was last seen in."""

    def __init__(self) -> None:
        self.transaction = 0
        self.entries: list[Entry] = []

    def turn_to(self, transaction: int) -> None:
        if transaction != self.transaction:
            self.close()
            self.transaction = transaction

    def close(self) -> None:
        """That transaction is over."""
        entries, self.entries = self.entries, []
        ask_after(entries, _NOT_COMMITTED)


_books: WeakKeyDictionary[Any, _Book] = WeakKeyDictionary()
_vouched: set[tuple[object, ...]] = set()
"""Stores, each with where a connection led that found it there."""


def add(connection: Any, entries: Sequence[Entry]) -> None:
    """Write jobs of one queue on a connection. Raises OptionRefused, and whatever that raises."""
    queue = entries[0].queue
    rows = list(queue.freight.stow([entry.job for entry in entries]))
    steps = _steps(connection, queue, entries, rows)
    with driver.plain_cursor(connection) as cursor:
        answer: Any = None
        while (statement := _next(steps, answer)) is not None:
            cursor.execute(for_driver(statement.sql), statement.parameters)
            answer = cursor.fetchall() if statement.answers else None


async def aadd(connection: Any, entries: Sequence[Entry]) -> None:
    """`add` on one that is awaited."""
    queue = entries[0].queue
    rows = list(await queue.astow([entry.job for entry in entries]))
    steps = _steps(connection, queue, entries, rows)
    async with driver.plain_cursor(connection) as cursor:
        answer: Any = None
        while (statement := _next(steps, answer)) is not None:
            await cursor.execute(for_driver(statement.sql), statement.parameters)
            answer = (await cursor.fetchall()) if statement.answers else None


def _next(steps: Steps, answer: Any) -> Statement | None:
    try:
        return steps.send(answer)
    except StopIteration:
        return None


def _steps(connection: Any, queue: TaskQueue, entries: Sequence[Entry], rows: list[NewJob]) -> Steps:
    yield from _vouch(connection, queue)
    ((transaction,),) = yield foreign.transaction(queue.url)
    book = _book_of(connection)
    book.turn_to(transaction)
    if entries[0].is_ordered and queue.ordered:  # then there is one: requests add their jobs one by one
        rows = [(yield from _chained(queue, rows[0], book.entries))]
    yield foreign.insert(queue.url, rows)
    for entry in entries:
        entry.is_under_way = partial(_is_in_transaction, ref(connection))
    book.entries += entries


def _book_of(connection: Any) -> _Book:
    book = _books.get(connection)
    if book is None:
        book = _books[connection] = _Book()
        finalize(connection, book.close).atexit = False
    return book


def _chained(queue: TaskQueue, row: NewJob, written: list[Entry]) -> Generator[Statement, list[Row], NewJob]:
    """Waiting for the one before it in this transaction; a delayed one waits for its time alone."""
    if row.run_at != row.created_at:
        return row
    earlier = [
        entry.job.id
        for entry in written
        if entry.is_ordered and entry.queue is queue and entry.job.run_at == entry.job.created_at
    ]
    waits = bool(earlier) and bool((yield foreign.chain(queue.url, row, earlier)))
    return row._replace(waiting=int(waits))


def _is_in_transaction(connection: ref[Any]) -> bool:
    """What it has written may still be committed."""
    here = connection()
    return here is not None and here.info.transaction_status.name in ("ACTIVE", "INTRANS", "INERROR")


def _vouch(connection: Any, queue: TaskQueue) -> Steps:
    """Once for a user of a database: another database may have such tables, too."""
    info = connection.info
    way = (queue.url, info.host, info.port, info.dbname, info.user)
    if way not in _vouched:
        found = yield foreign.whereabouts(queue.url)
        ours = queue.ask(foreign.whereabouts_of)
        foreign.require_same(queue.url, found[0] if found else None, ours)
        _vouched.add(way)
