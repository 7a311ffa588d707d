"""The link from a server process to the supervisor of its store: rows go down, "kept" comes back once they are on disk.

Rows of all requests of one round of the loop go as one message, which the supervisor commits as one transaction with
what came from others. A link that breaks, or does not answer in time, says LinkLost to whoever waits: the writer then
takes its own way. Opening never blocks a request: until the link is up, `is_up` says so.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import cast

from outlast import wire
from outlast.errors import NotConfirmed
from outlast.job import NewJob

PATIENCE = 1.0
"""Seconds a supervisor may take to answer before the writer stops waiting for it."""
_PAUSE = 0.5
"""Seconds between tries to open a link."""


class LinkLost(Exception):
    """The supervisor went away, or did not answer in time; what was sent may be written or not."""


class Link(asyncio.Protocol):
    """One connection of one loop."""

    def __init__(self, path: str, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._path = path
        self._transport: asyncio.Transport | None = None
        self._opening: asyncio.Task[None] | None = None
        self._next_try = 0.0
        self._number = 0
        self._rows: list[NewJob] = []
        self._server: str | None = None
        self._let_go: list[str] = []
        self._sharers: list[asyncio.Future[None]] = []
        self._sent: dict[int, list[asyncio.Future[None]]] = {}
        self._unframer = wire.Unframer()
        self._watchdog: asyncio.TimerHandle | None = None

    def is_up(self) -> bool:
        """Whether rows can be sent now. Begins to open the link if it is down and not being opened."""
        if self._transport is not None:
            return True
        if self._opening is None and self.loop.time() >= self._next_try:
            self._opening = self.loop.create_task(self._open())
        return False

    async def insert(self, jobs: Sequence[NewJob]) -> None:
        """Send rows and wait until they are on disk. Raises LinkLost, NotConfirmed."""
        self._rows += jobs
        await self._share()

    def unhold(self, server: str, ids: Iterable[str]) -> asyncio.Future[None]:
        """Let jobs go that this server holds; the future tells when it is done, or fails as `insert` does."""
        self._server = server
        self._let_go += ids
        return self._share()

    def _share(self) -> asyncio.Future[None]:
        """The answer to the message of this round."""
        if not self._sharers:
            self.loop.call_soon(self._send)
        kept: asyncio.Future[None] = self.loop.create_future()
        self._sharers.append(kept)
        return kept

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    async def _open(self) -> None:
        try:
            with suppress(OSError):
                await self.loop.create_unix_connection(lambda: self, self._path)
        finally:
            self._opening = None
            self._next_try = self.loop.time() + _PAUSE

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by inheritance
        self._unframer = wire.Unframer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        waiting = [kept for sharers in self._sent.values() for kept in sharers] + self._sharers
        self._sent, self._sharers, self._rows, self._let_go = {}, [], [], []
        for kept in waiting:
            if not kept.done():
                kept.set_exception(LinkLost())

    def data_received(self, data: bytes) -> None:
        for verb, number, *text in self._unframer.feed(data):
            for kept in self._sent.pop(number, ()):
                if kept.done():
                    continue
                if verb == "kept":
                    kept.set_result(None)
                else:
                    kept.set_exception(NotConfirmed(*text))

    def _send(self) -> None:
        """Everything that came in this round of the loop, as one message."""
        if self._transport is None or not self._sharers:
            return
        self._number += 1
        self._sent[self._number] = self._sharers
        self._transport.write(wire.frame("write", self._number, self._rows, self._server, self._let_go))
        self._rows, self._let_go, self._sharers = [], [], []
        if self._watchdog is None:
            self._watchdog = self.loop.call_later(PATIENCE, self._check, self._number)

    def _check(self, number: int) -> None:
        """Whether what was under way a while ago has been answered. If not, the supervisor is stuck: leave it."""
        self._watchdog = None
        if any(sent <= number for sent in self._sent):
            self.close()
        elif self._sent:
            self._watchdog = self.loop.call_later(PATIENCE, self._check, self._number)


def ring(path: str) -> None:
    """Ring the supervisor's bell, if it is there. Never waits, never fails."""
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as bell:
        bell.setblocking(False)
        bell.connect(path)
        bell.send(wire.frame("ring"))
