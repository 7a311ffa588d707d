"""One connection to one PostgreSQL database: its schema, its transactions, its errors.

1. Finds the database and the schema that a URL names: `postgresql://user@host/base?schema=outlast`.
2. Connects when it is first used, and again after the connection was lost.
3. Makes commits, nested ones joining the outermost; what need not be flushed is not waited for.
4. Turns whatever PostgreSQL says into a StoreError that tells what happened and what to do.

It prepares no statements and keeps nothing in the session, so that a proxy which pools transactions does no harm.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from outlast.errors import NotConfirmed, StoreError, StoreUnusable

DEFAULT_SCHEMA = "outlast"
CONNECT_PATIENCE = 5
"""Seconds that connecting may take."""

Parameters = Mapping[str, Any]

try:
    import psycopg
except ImportError as error:
    raise StoreUnusable(
        f"a PostgreSQL store needs psycopg, which is not here ({error}); pip install 'outlast[postgres]'"
    ) from error


def place_of(url: str) -> tuple[str, str]:
    """What libpq connects to, and the schema. Raises StoreUnusable."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    schema = query.pop("schema", DEFAULT_SCHEMA)
    if not re.fullmatch(r"[a-z_][a-z0-9_]*", schema):
        raise StoreUnusable(
            f"schema={schema!r} in {shown(url)}: use lower-case letters, digits and underscores"
        )
    return urlunsplit(parts._replace(scheme="postgresql", query=urlencode(query))), schema


def shown(url: str) -> str:
    """The URL without its password."""
    parts = urlsplit(url)
    if parts.password is None:
        return url
    return urlunsplit(parts._replace(netloc=parts.netloc.replace(f":{parts.password}@", ":…@")))


class PostgresConnection:
    """A connection, owned by one thread."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._told = shown(url)
        self._info, self.schema = place_of(url)
        self._connection: psycopg.Connection[Any] | None = None
        self._is_closed = False
        self._depth = 0
        self._doomed = False
        self._flush_wanted = False
        self._unflushed = False

    # ---- statements

    def execute(self, sql: str, parameters: Parameters = {}) -> psycopg.Cursor[Any]:  # noqa: B006
        """Run one statement, inside a transaction or on its own."""
        try:
            return self._opened().execute(sql, parameters or None)  # type: ignore[arg-type]
        except psycopg.Error as error:
            raise self._explained(error) from error

    def read(self, sql: str, parameters: Parameters = {}) -> list[tuple[Any, ...]]:  # noqa: B006
        return self.execute(sql, parameters).fetchall()

    def read_named(self, sql: str, parameters: Parameters) -> list[dict[str, Any]]:
        cursor = self.execute(sql, parameters)
        names = [column.name for column in cursor.description or ()]
        return [dict(zip(names, row, strict=True)) for row in cursor]

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

    def own_transaction(self, *, flush: bool = False) -> Any:
        """A block that is flushed only if it is the outermost: one that it joins decides for itself."""
        return self.transaction(flush=flush and not self._depth)

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
            self.execute("BEGIN")
        self._flush_wanted |= flush
        self._depth += 1

    def _leave(self, error: BaseException | None) -> None:
        self._depth -= 1
        self._doomed |= error is not None
        if self._depth:
            return
        doomed, self._doomed = self._doomed, False
        if not doomed:
            self._commit()
            return
        self._roll_back()
        if error is None:
            raise NotConfirmed(f"a part of a transaction on {self._told} failed; nothing of it is written")

    def _commit(self) -> None:
        """One that nobody needs to survive a crash of the database does not wait for its disk."""
        if not self._flush_wanted:
            self.execute("SET LOCAL synchronous_commit = off")
        self.execute("COMMIT")
        self._unflushed = not self._flush_wanted

    def _roll_back(self) -> None:
        """A lost connection has rolled back by itself."""
        if self._connection is not None and not self._connection.closed:
            self.execute("ROLLBACK")

    def _sync(self) -> None:
        """A commit that waits for the disk has everything before it on disk, if it has anything to commit itself."""
        with self.transaction(flush=True):
            self.execute("SELECT txid_current()")

    # ---- the connection

    def _opened(self) -> psycopg.Connection[Any]:
        if self._is_closed:
            raise StoreUnusable(f"the store {self._told} was closed")
        if self._connection is None or (self._connection.closed and not self._depth):
            self._connection = self._connect()
        return self._connection

    def _connect(self) -> psycopg.Connection[Any]:
        try:
            connection = psycopg.connect(
                self._info,
                autocommit=True,
                prepare_threshold=None,
                connect_timeout=CONNECT_PATIENCE,
                application_name="outlast",
                options=f"-c search_path={self.schema}",
            )
        except psycopg.Error as error:
            raise StoreUnusable(
                f"{self._told} cannot be reached: {_line(error)}; check its address, that PostgreSQL runs there, and "
                "that this user may connect"
            ) from error
        return connection

    def create(self, script: str) -> None:
        """Make the schema and its tables, unless they are there."""
        with self.transaction(flush=True):
            self.execute(
                "SELECT pg_advisory_xact_lock(hashtext('outlast'), hashtext(%(schema)s))",
                {"schema": self.schema},
            )
            if self.read("SELECT to_regclass(%(name)s)", {"name": f"{self.schema}.jobs"})[0][0] is None:
                self.execute(f'CREATE SCHEMA IF NOT EXISTS "{self.schema}"')
                self.execute(script)

    # ---- errors

    def _explained(self, error: psycopg.Error) -> StoreError:
        line = _line(error)
        if isinstance(error, psycopg.errors.IntegrityError):
            return StoreError(
                f"{self._told} refused a row that breaks one of its rules ({line}); this is a defect of Outlast or of "
                "who wrote the row"
            )
        if isinstance(error, psycopg.errors.UndefinedTable | psycopg.errors.InvalidSchemaName):
            return StoreUnusable(f"there is no store in {self._told} yet ({line}); make it: outlast migrate")
        return NotConfirmed(f"{self._told}: {line}; this was not confirmed, send it again")


def _line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
