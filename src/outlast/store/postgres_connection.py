"""One connection to one PostgreSQL database: its schema, its transactions, its losses.

1. Connects when it is first used, and again after the connection was lost.
2. Makes commits, nested ones joining the outermost; what need not be flushed is not waited for.
3. Speaks PostgreSQL's dialect of our SQL: `:name` for a parameter, tables by the name of their schema.
4. Has the server plan what workers say again and again once, where the session is ours.
5. Keeps the time: the database's clock is measured when it connects, and now and then.

What goes wrong is worded by `outlast.store.postgres_driver`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from outlast.address import Address
from outlast.clock import steady
from outlast.errors import NotConfirmed, StoreUnusable
from outlast.store import postgres_driver as driver
from outlast.store.moved import require_at_home
from outlast.store.postgres_clock import DatabaseClock, clock_of
from outlast.store.postgres_schema import facts_of, require_schema

Parameters = Mapping[str, Any]
_NOTHING: Parameters = {}
_PAUSE = 1.0
"""Seconds from one vain try to connect to the next, at least."""
_PARAMETER = re.compile(r"(?<!:):([a-z_][a-z_0-9]*)")
_TABLE = re.compile(
    r"\b(FROM|INTO|UPDATE|JOIN) (jobs|attempts|queues|workers|progress|log_lines|depths|statistics|facts)\b"
)
# A transaction changes few of many rows, each found by an index and in its order. Statistics that are older than the
# rows, or that know only how many were queued yesterday, have the planner read the whole table instead, sort it, and
# compare all with all; and a plan is kept for as long as the connection.
_PLANS = ("enable_seqscan", "enable_bitmapscan", "enable_sort", "enable_hashjoin", "enable_mergejoin", "jit")
_BEGIN = "BEGIN; SET LOCAL plan_cache_mode = force_generic_plan; " + "; ".join(
    f"SET LOCAL {setting} = off" for setting in _PLANS
)
_TIME = "SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint)"


def in_schema(sql: str, schema: str) -> str:
    """Tables by their whole names: a proxy that pools transactions keeps no search path, and others have their own."""
    return _TABLE.sub(rf'\1 "{schema}".\2', sql)


def for_driver(sql: str) -> str:
    """Parameters as psycopg wants them."""
    return _PARAMETER.sub(r"%(\1)s", sql)


class PostgresConnection:
    """A connection, owned by one thread."""

    def __init__(self, address: Address, *, any_version: bool = False, even_moved: bool = False) -> None:
        self.address = address
        self._any_version = any_version
        self._even_moved = even_moved
        self.clock: DatabaseClock = clock_of(address.told)
        self._told = address.told
        self._connection: driver.Connection | None = None
        self._spoken: dict[str, str] = {}
        self._is_ours = address.listens
        """Whether the session may be: what is prepared in it is there the next time."""
        self._prepare: bool | None = False
        """None: what is said often. Outside our transactions, nothing: plans are made for the values that are given."""
        self._is_closed = False
        self._not_before = 0.0
        self._depth = 0
        self._doomed = False
        self._flush_wanted = False
        self._unflushed = False

    # ---- statements

    def execute(self, sql: str, parameters: Parameters = _NOTHING) -> driver.Cursor:
        """Run one statement, inside a transaction or on its own.

        A connection that was lost while nobody used it is nobody's problem: the first statement is given to a new one.
        """
        had_one = self._connection is not None
        try:
            return self._once(sql, parameters)
        except NotConfirmed:
            if self._depth or not had_one or not self._is_lost():
                raise
        return self._once(sql, parameters)

    def read(self, sql: str, parameters: Parameters = _NOTHING) -> list[tuple[Any, ...]]:
        """The rows of a query."""
        return self.execute(sql, parameters).fetchall()

    def read_named(self, sql: str, parameters: Parameters) -> list[dict[str, Any]]:
        """The same, each row by the names of its columns."""
        cursor = self.execute(sql, parameters)
        names = [column.name for column in cursor.description or ()]
        return [dict(zip(names, row, strict=True)) for row in cursor]

    def stream(self, sql: str) -> Iterator[tuple[Any, ...]]:
        """The rows of a query, one by one."""
        yield from self.execute(sql)

    def load(self, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write rows as they are, all of the same columns; PostgreSQL's text has no zero bytes."""
        names = ", ".join(rows[0])
        sql = f'COPY "{self.address.schema}".{table} ({names}) FROM STDIN'
        try:
            with self._opened().cursor().copy(sql.encode()) as copy:
                for row in rows:
                    copy.write_row([_storable(value) for value in row.values()])
        except driver.DriverError as error:
            raise driver.explained(error, self._told) from error

    def _once(self, sql: str, parameters: Parameters = _NOTHING) -> driver.Cursor:
        connection = self._opened()
        try:
            return connection.execute(self._dialect(sql), parameters or None, prepare=self._prepare)
        except driver.DriverError as error:
            is_other = driver.is_of_other_session(error)
            self._is_ours &= not is_other
            if is_other or driver.is_of_standby(error):
                connection.close()
            raise driver.explained(error, self._told) from error

    def _dialect(self, sql: str) -> str:
        spoken = self._spoken.get(sql)
        if spoken is None:
            spoken = self._spoken[sql] = for_driver(in_schema(sql, self.address.schema))
        return spoken

    # ---- commits

    @contextmanager
    def transaction(self, *, flush: bool) -> Iterator[None]:
        """A block that is one commit. Within another block it joins that one."""
        self._enter(flush)
        try:
            yield
        except BaseException as error:
            self._leave(error)
            raise
        self._leave(None)

    def own_transaction(self, *, flush: bool = False) -> AbstractContextManager[None]:
        """A block that is flushed only if it is the outermost: one that it joins decides for itself."""
        return self.transaction(flush=flush and not self._depth)

    @contextmanager
    def moment(self) -> Iterator[None]:
        """A block whose reads all see the same moment."""
        if self._depth:
            yield
            return
        self.execute("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
            self._roll_back()

    def flush(self) -> None:
        """Put on disk what this connection has committed without a flush."""
        if self._depth:
            self._flush_wanted = True
        elif self._unflushed:
            self._sync()

    def close(self) -> None:
        self._is_closed = True
        if self._connection is not None:
            self._connection.close()

    def _enter(self, flush: bool) -> None:
        if self._doomed:
            raise NotConfirmed(
                f"an earlier part of this transaction on {self._told} failed; nothing of it is written"
            )
        if not self._depth:
            self._flush_wanted = False
            self.execute(_BEGIN)
            self._prepare = None if self._is_ours else False
        self._flush_wanted |= flush
        self._depth += 1

    def _leave(self, error: BaseException | None) -> None:
        self._depth -= 1
        self._doomed |= error is not None
        if self._depth:
            return
        self._prepare = False
        doomed, self._doomed = self._doomed, False
        if not doomed:
            self._commit()
            return
        self._roll_back()
        if error is None:
            raise NotConfirmed(f"a part of a transaction on {self._told} failed; nothing of it is written")

    def _commit(self) -> None:
        """By the connection that has done the work, or not at all: on another there is nothing to commit."""
        if self._is_lost():
            raise NotConfirmed(
                f"the connection to {self._told} was lost; this was not confirmed, send it again"
            )
        # What nobody needs to survive a crash of the database does not wait for its disk.
        self._once("COMMIT" if self._flush_wanted else "SET LOCAL synchronous_commit = off; COMMIT")
        self._unflushed = not self._flush_wanted

    def _roll_back(self) -> None:
        """A lost connection has rolled back by itself; one that cannot is given up."""
        if self._connection is None or self._connection.closed:
            return
        try:
            self._once("ROLLBACK")
        except (NotConfirmed, StoreUnusable):
            self._connection.close()

    def _sync(self) -> None:
        """A commit that waits for the disk has everything before it on disk, if it has anything to commit itself."""
        with self.transaction(flush=True):
            self.execute("SELECT txid_current()")

    # ---- the connection

    def _opened(self) -> driver.Connection:
        if self._is_closed:
            raise StoreUnusable(f"the store {self._told} was closed")
        if self._connection is None or (self._connection.closed and not self._depth):
            self._connection = self._connect()
        elif not self._depth and self.clock.is_due():
            self._measure(self._connection)
        return self._connection

    def _is_lost(self) -> bool:
        return self._connection is not None and bool(self._connection.closed)

    def _connect(self) -> driver.Connection:
        """Not again and again: a host that does not answer takes seconds each time, and others wait for this thread."""
        if steady() < self._not_before:
            raise NotConfirmed(f"{self._told} could not be reached a moment ago; this is tried again soon")
        self._not_before = steady() + _PAUSE
        connection = driver.connect(self.address)
        self._not_before = 0.0
        try:
            if not self._any_version:
                require_schema(connection, self.address)
            if not self._even_moved:
                require_at_home(self._told, facts_of(connection, self.address))
            self._is_ours &= not driver.is_pooled(connection)
            self._measure(connection)
        except driver.DriverError as error:
            connection.close()
            raise driver.explained(error, self._told) from error
        except BaseException:
            connection.close()
            raise
        return connection

    def _measure(self, connection: driver.Connection) -> None:
        asked_at = steady()
        try:
            (now,) = connection.execute(_TIME).fetchone() or (0,)
        except driver.DriverError as error:
            raise driver.explained(error, self._told) from error
        self.clock.measured(now, asked_at)


def _storable(value: Any) -> Any:
    return value.replace("\0", "\\x00") if isinstance(value, str) and "\0" in value else value
