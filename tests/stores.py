"""Every kind of store, for tests that hold for all of them, and what a person at its own shell would do to it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path

from outlast.address import is_postgres
from tests.postgresql import connected, new_store

Place = Callable[[Path], AbstractContextManager[str]]


@contextmanager
def sqlite(folder: Path) -> Iterator[str]:
    """The URL of a store that is not there yet, in this folder."""
    yield f"sqlite:///{folder / 'outlast.db'}"


@contextmanager
def postgres(_: Path) -> Iterator[str]:
    """The URL of a new, empty store in the PostgreSQL that all tests share."""
    with new_store() as url:
        yield url


STORES: list[Place] = [sqlite, postgres]


def name_of(place: Place) -> str:
    """For the ids of tests."""
    return getattr(place, "__name__", repr(place))


def execute(url: str, sql: str) -> list[tuple[object, ...]]:
    """Run SQL on another connection; the rows, if it has any."""
    if is_postgres(url):
        with connected(url) as connection:
            cursor = connection.execute(sql)
            return cursor.fetchall() if cursor.description else []
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)) as file:
        return file.execute(sql).fetchall()


def columns_of(url: str, table: str) -> list[str]:
    """The names of a table's columns, in the order of the alphabet."""
    names = (
        f"SELECT column_name FROM information_schema.columns WHERE table_name = '{table}' "
        "AND table_schema = current_schema()"
        if is_postgres(url)
        else f"SELECT name FROM pragma_table_info('{table}')"
    )
    return sorted(str(name) for (name,) in execute(url, names))


@contextmanager
def locked(url: str) -> Iterator[None]:
    """While another connection has an open transaction that keeps everybody from writing jobs."""
    if is_postgres(url):
        with connected(url) as connection, connection.transaction():
            connection.execute("LOCK TABLE jobs IN EXCLUSIVE MODE")
            yield
        return
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)) as file:
        file.execute("BEGIN IMMEDIATE")
        yield
        file.execute("ROLLBACK")
