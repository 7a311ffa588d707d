"""A request-scoped `yield` dependency: the shape of a database session, without a database."""

from __future__ import annotations

from collections.abc import AsyncIterator


class Session:
    """Stands for a session that its dependency commits once the response is on its way."""

    async def commit(self) -> None: ...


async def open_session() -> AsyncIterator[Session]:
    session = Session()
    yield session
    await session.commit()
