"""One connection to one SQLite file: its place, its identity, its transactions, its errors.

1. Finds the file that a URL names, and says in advance what would be wrong with its place.
2. Opens it in WAL mode, tells our file from another's, brings its schema up to date.
3. Makes commits: one writer at a time, flushed to disk when asked, nested ones joining the outermost.
4. Turns whatever SQLite says into a StoreError that tells what happened and what to do.

What the statements mean is the business of `outlast.store.sqlite`.
"""

from __future__ import annotations

import os
import re
import sqlite3
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from outlast.errors import NotConfirmed, StoreError, StoreUnusable
from outlast.store.moved import MOVED_TO, moved_away, require_at_home
from outlast.store.sqlite_place import check_place, name_and_path

APPLICATION_ID = 0x4F75744C
"""'OutL', in the header of every file of ours."""
PATIENCE = 15.0
"""Seconds that a commit waits for its turn before it gives up."""
_OLDEST_SQLITE = (3, 37, 0)  # the first with STRICT tables
# SQLite's own pauses grow to 100 ms: beside two busy servers a worker waits for seconds, with these for hundredths.
_PAUSE, _LONG_PAUSE, _LONG_AFTER = 0.0002, 0.005, 1.0
_CHECKPOINT_PAGES = 2000  # 8 MiB: the next commit waits some 10 ms while they are copied back
_LEFT_WAL = 64 << 20  # what a long reader has let grow shrinks to this afterwards

Parameters = Sequence[Any] | Mapping[str, Any]
_T = TypeVar("_T")


class SQLiteFile:
    """A connection, owned by one thread."""

    def __init__(self, url: str, *, create: bool, read_only: bool = False, even_moved: bool = False) -> None:
        _require_sqlite()
        self.url, self.path = name_and_path(url)
        if self.path is not None:
            check_place(self.path, create=create, read_only=read_only)
        self._told = self.path or "the store in memory"
        self._depth = 0
        self._doomed = False
        self.is_older = False
        self._full: bool | None = None
        self._flush_wanted = False
        self._unflushed = False
        self._changes = 0
        self._connection = self._patiently(self._connect_to_read if read_only else self._connect, create)
        try:
            self._set_up(create, read_only)
            if not even_moved:
                require_at_home(self.url, self.facts())
        except BaseException:
            self._connection.close()
            raise
        self.execute = self._connection.execute
        self.executemany = self._connection.executemany

    # ---- reading

    def read(self, sql: str, parameters: Parameters = ()) -> list[tuple[Any, ...]]:
        """The rows of a query, inside a transaction or on its own."""
        try:
            return self._connection.execute(sql, parameters).fetchall()
        except sqlite3.Error as error:
            if not _is_busy(error) or self._depth:
                raise self._explained(error) from error
        return self._patiently(lambda: self._connection.execute(sql, parameters).fetchall())

    def stream(self, sql: str) -> Iterator[tuple[Any, ...]]:
        """The rows of a query, however many: not all of them are in memory at once."""
        cursor = self._patiently(self._connection.execute, sql)
        try:
            yield from cursor
        except sqlite3.Error as error:
            raise self._explained(error) from error

    def read_named(self, sql: str, parameters: Parameters = ()) -> list[dict[str, Any]]:
        """The same, each row by the names of its columns."""
        try:
            cursor = self._patiently(self._connection.execute, sql, parameters)
            names = [column[0] for column in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in cursor]
        except sqlite3.Error as error:
            raise self._explained(error) from error

    @contextmanager
    def moment(self) -> Iterator[None]:
        """A block whose reads all see the same moment. It waits for nobody who writes, and nobody waits for it."""
        if self._depth:
            yield
            return
        self._patiently(self._connection.execute, "BEGIN")
        try:
            yield
        finally:
            self._connection.execute("ROLLBACK")

    def facts(self) -> dict[str, str]:
        """What the store knows of itself; nothing, where it is of an older Outlast and only read."""
        if self.is_older and not self.read("SELECT 1 FROM sqlite_schema WHERE name = 'facts'"):
            return {}
        return dict(self.read("SELECT name, value FROM facts"))

    # ---- writing, inside a transaction

    def change_each(self, sql: str, rows: Iterable[Parameters]) -> list[bool]:
        """Run a statement once for each row, and tell of each whether it changed anything."""
        changed: list[bool] = []
        self.executemany(sql, self._watched(rows, changed))
        return changed

    def load(self, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write rows as they are, all of the same columns."""
        names = list(rows[0])
        values = ", ".join(f":{name}" for name in names)
        self.executemany(f"INSERT INTO {table} ({', '.join(names)}) VALUES ({values})", rows)  # noqa: S608

    def _watched(self, rows: Iterable[Parameters], changed: list[bool]) -> Iterator[Parameters]:
        """A row is asked for once the one before it has been run."""
        before = self._connection.total_changes
        for row in rows:
            yield row
            after = self._connection.total_changes
            changed.append(after != before)
            before = after

    # ---- commits

    def transaction(self, *, flush: bool) -> Transaction:
        """A block that is one commit. Within another block it joins that one."""
        return Transaction(self, flush)

    def own_transaction(self, *, flush: bool = False) -> Transaction:
        """A block that is flushed only if it is the outermost: one that it joins decides for itself."""
        return Transaction(self, flush and not self._depth)

    def flush(self) -> None:
        """Put on disk what this connection has committed without a flush."""
        if self._depth:
            self._flush_wanted = True
        elif self._unflushed:
            self._sync()

    def close(self) -> None:
        try:
            self._connection.close()
        except sqlite3.Error as error:
            raise self._explained(error) from error

    def enter(self, flush: bool) -> None:
        if self._doomed:
            raise NotConfirmed(
                f"an earlier part of this transaction on {self._told} failed; nothing of it is written"
            )
        if not self._depth:
            self._begin(flush)
        self._flush_wanted |= flush
        self._depth += 1

    def leave(self, error: BaseException | None) -> None:
        self._depth -= 1
        if error is not None:
            self._doomed = True
        if not self._depth:
            self._finish(error)
        if isinstance(error, sqlite3.Error):
            raise self._explained(error) from error

    def _begin(self, flush: bool) -> None:
        if flush:
            self._require_same_file()
        self._flush_wanted = False
        try:
            self._changes = self._connection.total_changes
            self._set_full(flush)
            self._connection.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            if not _is_busy(error):
                raise self._explained(error) from error
            self._patiently(self._connection.execute, "BEGIN IMMEDIATE")

    def _finish(self, error: BaseException | None) -> None:
        doomed, self._doomed = self._doomed, False
        if doomed:
            self._roll_back()
            if error is None:
                raise NotConfirmed(
                    f"a part of a transaction on {self._told} failed; nothing of it is written"
                )
            return
        self._commit()

    def _commit(self) -> None:
        try:
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            self._roll_back()
            raise self._explained(error) from error
        if self._connection.total_changes != self._changes:
            self._unflushed = not self._full
        if self._flush_wanted and self._unflushed:
            self._sync()

    def _roll_back(self) -> None:
        """SQLite has already rolled back by itself after some errors, a full disk among them."""
        try:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        except sqlite3.Error:
            # The error that led here is the one to tell; a connection that cannot roll back says so at its next use.
            return

    def _sync(self) -> None:
        """A commit with FULL puts all earlier ones on disk, if it writes anything: the version again, unchanged."""
        with self.transaction(flush=True):
            self._connection.execute(f"PRAGMA user_version = {_LATEST}")
            self._changes = -1  # it writes, though it changes no row

    def _set_full(self, full: bool) -> None:
        """Cannot be changed inside a transaction."""
        if full is not self._full:
            self._connection.execute(f"PRAGMA synchronous = {'FULL' if full else 'NORMAL'}")
            self._full = full

    def _require_same_file(self) -> None:
        """A deleted file would take every commit and show it to nobody."""
        if self.path is not None and _identity(self.path) != self._identity:
            raise StoreUnusable(
                f"{self.path} was deleted or replaced while it was open; nothing more is accepted into the old file: "
                "put the file back or restart this process to begin with the new one"
            )

    def _patiently(self, call: Callable[..., _T], *arguments: Any) -> _T:
        """Wait for the turn of this process: "database is locked" is not the user's problem."""
        start = time.monotonic()
        while True:
            try:
                return call(*arguments)
            except sqlite3.Error as error:
                waited = time.monotonic() - start
                if not _is_busy(error) or self._depth or waited > PATIENCE:
                    raise self._explained(error) from error
            time.sleep(_PAUSE if waited < _LONG_AFTER else _LONG_PAUSE)

    # ---- opening

    def _connect(self, create: bool) -> sqlite3.Connection:
        mode = "rwc" if create else "rw"
        return sqlite3.connect(
            f"{self.path.as_uri()}?mode={mode}" if self.path else ":memory:",
            uri=self.path is not None,
            timeout=0,
            isolation_level=None,
            cached_statements=256,
        )

    def _connect_to_read(self, _: bool) -> sqlite3.Connection:
        """Writes nothing, and makes no file beside the store either: such as would be ours, and not its server's."""
        if self.path is None:
            raise StoreUnusable("a store in memory is known to its own process alone; name a file")
        is_at_rest = not self.path.with_name(f"{self.path.name}-wal").exists()
        way = "immutable=1" if is_at_rest else "mode=ro"
        return sqlite3.connect(f"{self.path.as_uri()}?{way}", uri=True, timeout=0, isolation_level=None)

    def _set_up(self, create: bool, read_only: bool) -> None:
        version = self._patiently(self._version, create and not read_only)
        self._identity = _identity(self.path) if self.path else None
        self.is_older = read_only and version < _LATEST
        if read_only:
            return
        self._patiently(self._set_pragmas)
        for number, script in _MIGRATIONS:
            if number > version:
                self._migrate(number, script)

    def _version(self, create: bool) -> int:
        """The schema's version; 0 for an empty file. One statement, so that it sees one moment."""
        application, version, tables = self._connection.execute(
            "SELECT application_id, user_version, (SELECT count(*) FROM sqlite_schema)"
            " FROM pragma_application_id, pragma_user_version"
        ).fetchone()
        if not application and not tables:
            self._require_create(create)
            return 0
        if application != APPLICATION_ID:
            raise StoreUnusable(
                f"{self._told} is an SQLite database of another program; name another file for the store"
            )
        if version > _LATEST:
            raise StoreUnusable(
                f"{self._told} was written by a newer Outlast (its schema is {version}, this one knows {_LATEST}); "
                "upgrade outlast here, or name another file. Nothing in it was changed"
            )
        return int(version)

    def _require_create(self, create: bool) -> None:
        if not create:
            raise StoreUnusable(
                f"{self._told} is empty and no store yet; start the app once to make it, or check the path"
            )

    def _set_pragmas(self) -> None:
        execute = self._connection.execute
        (mode,) = execute("PRAGMA journal_mode = WAL").fetchone()
        if self.path is not None and mode != "wal":
            raise StoreUnusable(
                f"{self._told} cannot use a write-ahead log: its file system lacks shared memory or locks; "
                "put the store on a local disk"
            )
        execute("PRAGMA foreign_keys = ON")
        execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
        execute(f"PRAGMA journal_size_limit = {_LEFT_WAL}")
        execute("PRAGMA secure_delete = OFF")
        execute("PRAGMA temp_store = MEMORY")
        execute("PRAGMA cache_size = -16000")
        if sys.platform == "darwin":
            execute("PRAGMA fullfsync = ON")
            execute("PRAGMA checkpoint_fullfsync = ON")

    def _migrate(self, number: int, script: str) -> None:
        with self.transaction(flush=True):
            execute = self._connection.execute
            if execute("PRAGMA user_version").fetchone()[0] >= number:
                return  # another process was faster
            for statement in _statements(script):
                execute(statement)
            execute(f"PRAGMA application_id = {APPLICATION_ID}")
            execute(f"PRAGMA user_version = {number}")

    # ---- errors

    def _explained(self, error: sqlite3.Error) -> StoreError:
        code = getattr(error, "sqlite_errorcode", None)
        if code == sqlite3.SQLITE_CONSTRAINT_TRIGGER:
            return moved_away(self.url, self.facts()[MOVED_TO])
        kind, told = _MEANINGS.get((code or 0) & 0xFF, (StoreError, "{store}: {error}"))
        return kind(told.format(store=self._told, error=error, seconds=PATIENCE))


class Transaction:
    """A block that is one commit, or part of the one around it."""

    __slots__ = ("_file", "_flush")

    def __init__(self, file: SQLiteFile, flush: bool) -> None:
        self._file = file
        self._flush = flush

    def __enter__(self) -> None:
        self._file.enter(self._flush)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.leave(error)


_MEANINGS: dict[int, tuple[type[StoreError], str]] = {
    sqlite3.SQLITE_BUSY: (
        NotConfirmed,
        "{store} was kept locked by another process for {seconds:g} s; this was not "
        "written. Find what holds it (a backup, a shell with an open transaction) and send this again",
    ),
    sqlite3.SQLITE_FULL: (
        NotConfirmed,
        "the disk is full: {store} cannot grow; nothing was lost: what was accepted before is kept, this was not "
        "written. Free some space and send it again",
    ),
    sqlite3.SQLITE_IOERR: (
        NotConfirmed,
        "the disk failed under {store} ({error}); this was not confirmed. Check the disk and its mount, then send it "
        "again",
    ),
    sqlite3.SQLITE_READONLY: (
        StoreUnusable,
        "{store} cannot be written ({error}); check the rights of the file and of its folder, and that its mount is "
        "not read-only",
    ),
    sqlite3.SQLITE_CANTOPEN: (
        StoreUnusable,
        "{store} cannot be opened ({error}); check that its folder is there and that this user may write in it",
    ),
    sqlite3.SQLITE_PERM: (
        StoreUnusable,
        "{store} cannot be opened ({error}); check the rights of the file and of its folder",
    ),
    sqlite3.SQLITE_CORRUPT: (
        StoreUnusable,
        "{store} is damaged ({error}); stop everything that uses it, keep a copy, then restore a backup or save what "
        "is left with `sqlite3 FILE .recover`",
    ),
    sqlite3.SQLITE_NOTADB: (
        StoreUnusable,
        "{store} is not an SQLite database, or its first bytes are damaged; name another file, or restore a backup",
    ),
    sqlite3.SQLITE_CONSTRAINT: (
        StoreError,
        "{store} refused a row that breaks one of its rules ({error}); this is a defect of Outlast or of who wrote "
        "the row",
    ),
}


def _is_busy(error: sqlite3.Error) -> bool:
    code = getattr(error, "sqlite_errorcode", 0) or 0
    return code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


def _require_sqlite() -> None:
    if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
        raise StoreUnusable(
            f"this Python has SQLite {sqlite3.sqlite_version}, Outlast needs 3.37 or newer; use a newer build of Python"
        )


def _read_migrations() -> Iterator[tuple[int, str]]:
    for entry in files("outlast.store").joinpath("migrations").iterdir():
        found = re.fullmatch(r"sqlite_(\d{4})\.sql", entry.name)
        if found:
            yield int(found[1]), entry.read_text(encoding="utf-8")


_MIGRATIONS = sorted(_read_migrations())
_LATEST = _MIGRATIONS[-1][0]


def _statements(script: str) -> Iterable[str]:
    """The statements of a script, one by one: `executescript` would commit what is open."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
