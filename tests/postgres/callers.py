"""Every kind of session that a caller can have, behind one face, with a table of the caller's own data beside the jobs.

    async with opened(KINDS["AsyncSession on asyncpg"], url) as caller:
        await caller.put(1)                   # a row of data
        await caller.add(queue, work, 1)      # a job, by `aenqueue`
        async with caller.savepoint(): ...    # rolled back where the block raises
        await caller.commit()                 # or rollback()

`things(url)` is what is in the table for everybody else.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
import sqlmodel
import sqlmodel.ext.asyncio.session
from sqlalchemy import create_engine, text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from outlast import Job, TaskQueue
from outlast.address import address_of
from tests.stores import execute


def make_table(url: str) -> None:
    """Beside the jobs, in the schema of the store."""
    execute(url, "CREATE TABLE things (n int UNIQUE DEFERRABLE INITIALLY DEFERRED)")


def things(url: str) -> list[int]:
    """What has been committed."""
    return [int(str(n)) for (n,) in execute(url, "SELECT n FROM things ORDER BY n")]


class Caller(ABC):
    """A session, and what its owner does with it."""

    def __init__(self, session: Any, url: str) -> None:
        self.session = session
        self._put = f'INSERT INTO "{address_of(url).schema}".things VALUES ({{n}})'

    async def add(self, queue: TaskQueue, func: Callable[..., Any], *args: Any) -> Job:
        return await queue.aenqueue(queue.options(func, session=self.session), *args)

    async def put(self, n: int) -> None:
        await self.run(self._put.format(n=n))

    @abstractmethod
    async def run(self, sql: str) -> None: ...

    async def commit(self) -> None:
        await self.session.commit()

    async def rollback(self) -> None:
        await self.session.rollback()

    @abstractmethod
    def savepoint(self) -> AbstractAsyncContextManager[Any]: ...


class OfAsyncSession(Caller):
    async def run(self, sql: str) -> None:
        await (await self.session.connection()).execute(text(sql))

    def savepoint(self) -> AbstractAsyncContextManager[Any]:
        return self.session.begin_nested()


class OfSession(Caller):
    async def run(self, sql: str) -> None:
        self.session.connection().execute(text(sql))

    async def commit(self) -> None:
        self.session.commit()

    async def rollback(self) -> None:
        self.session.rollback()

    @asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        with self.session.begin_nested():
            yield


class OfConnection(Caller):
    async def run(self, sql: str) -> None:
        self.session.execute(sql)

    async def commit(self) -> None:
        self.session.commit()

    async def rollback(self) -> None:
        self.session.rollback()

    @asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        with self.session.transaction():
            yield


class OfAsyncConnection(Caller):
    async def run(self, sql: str) -> None:
        await self.session.execute(sql)

    def savepoint(self) -> AbstractAsyncContextManager[Any]:
        return self.session.transaction()


@dataclass(frozen=True)
class Kind:
    """One way to reach the database."""

    name: str
    of: type[Caller]
    make: Any
    driver: str | None = None


KINDS = {
    kind.name: kind
    for kind in [
        Kind("Session", OfSession, Session, "psycopg"),
        Kind("Session of SQLModel", OfSession, sqlmodel.Session, "psycopg"),
        Kind("AsyncSession on psycopg", OfAsyncSession, AsyncSession, "psycopg"),
        Kind("AsyncSession on asyncpg", OfAsyncSession, AsyncSession, "asyncpg"),
        Kind(
            "AsyncSession of SQLModel",
            OfAsyncSession,
            sqlmodel.ext.asyncio.session.AsyncSession,
            "asyncpg",
        ),
        Kind("Connection", OfConnection, psycopg.Connection),
        Kind("AsyncConnection", OfAsyncConnection, psycopg.AsyncConnection),
    ]
}
FOLLOWED = [name for name in KINDS if "Session" in name]
"""Those that tell how they end."""


@asynccontextmanager
async def opened(kind: Kind, url: str, **options: Any) -> AsyncIterator[Caller]:
    """A session of this kind, closed at the end without a commit."""
    if kind.driver is None:
        connection = kind.make.connect(address_url(url), **options)
        connection = await connection if kind.of is OfAsyncConnection else connection
        try:
            yield kind.of(connection, url)
        finally:
            closed = connection.close()
            if closed is not None:
                await closed
    elif kind.of is OfSession:
        engine = create_engine(address_url(url, kind.driver))
        with kind.make(engine, **options) as session:
            yield kind.of(session, url)
        engine.dispose()
    else:
        async_engine = create_async_engine(address_url(url, kind.driver))
        async with kind.make(async_engine, **options) as session:
            yield kind.of(session, url)
        await async_engine.dispose()


def address_url(url: str, driver: str | None = None) -> str:
    """Of the database that a store is in, as its other users write it."""
    bare = url.partition("?")[0]
    return bare if driver is None else bare.replace("postgresql://", f"postgresql+{driver}://")
