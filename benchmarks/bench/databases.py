"""A PostgreSQL database for the length of one measurement: nobody pays for what another has left behind.

On the server that OUTLAST_BENCH_POSTGRES names, by a user that may create databases.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bench.processes import Broken
from outlast.address import address_of

SERVER = os.environ.get("OUTLAST_BENCH_POSTGRES", "postgresql://postgres@127.0.0.1:5432/test")
_SETTINGS = (
    "server_version",
    "shared_buffers",
    "synchronous_commit",
    "fsync",
    "full_page_writes",
    "wal_sync_method",
)


@contextmanager
def database(name: str) -> Iterator[str]:
    """The URL of a new one. Raises Broken where none can be had."""
    import psycopg

    try:
        _on_server(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)', f'CREATE DATABASE "{name}"')
    except psycopg.Error as error:
        raise Broken(f"no database can be made on {address_of(SERVER).told}: {error}") from error
    try:
        yield _url(name)
    finally:
        _on_server(f'DROP DATABASE "{name}" WITH (FORCE)')


def settle(url: str) -> None:
    """What a server does by itself in time: know its tables, and have its pages on disk."""
    with _connected(url) as connection:
        connection.execute("VACUUM ANALYZE")
        connection.execute("CHECKPOINT")


def server_facts() -> str:
    """Its version and the settings that speed depends on."""
    with _connected(SERVER) as connection:
        values = {name: connection.execute(f"SHOW {name}").fetchone()[0] for name in _SETTINGS}
    return f"PostgreSQL {values.pop('server_version')}, " + ", ".join(
        f"{name} {it}" for name, it in values.items()
    )


def _url(name: str) -> str:
    front, _, query = SERVER.partition("?")
    return f"{front.rpartition('/')[0]}/{name}" + (f"?{query}" if query else "")


def _on_server(*statements: str) -> None:
    with _connected(SERVER) as connection:
        for statement in statements:
            connection.execute(statement)


@contextmanager
def _connected(url: str) -> Iterator[Any]:
    import psycopg

    with psycopg.connect(**address_of(url).parameters, autocommit=True) as connection:
        yield connection
