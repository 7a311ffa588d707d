"""The seat of a store: the one supervisor on this machine that servers look for, and send their rows to.

Who has the lock of the seat listens on the socket. What servers send is put into `writes`; the supervisor commits
it and answers each.
"""

from __future__ import annotations

import os
import selectors
import socket
from collections.abc import Callable
from typing import Any, NamedTuple

from outlast import locks
from outlast.errors import StoreUnusable
from outlast.job import NewJob
from outlast.premises import Premises
from outlast.worker import events
from outlast.worker.peer import Peer


class Write(NamedTuple):
    """What a server wants written, under the number that the answer must bear."""

    peer: Peer
    number: int
    rows: list[NewJob]
    server: str | None
    let_go: list[str]
    """Jobs that this server holds no longer."""

    def confirm(self) -> None:
        """Say that it is on disk."""
        self.peer.send("kept", self.number)

    def refuse(self, why: str) -> None:
        self.peer.send("refused", self.number, why)


class Seat:
    """The lock, the socket, and the servers that are connected to it."""

    def __init__(
        self,
        premises: Premises,
        selector: selectors.BaseSelector,
        *,
        on_ring: Callable[[], None],
        on_server_gone: Callable[[], None],
    ) -> None:
        self.writes: list[Write] = []
        """What servers have sent and nobody has committed yet."""
        self._premises = premises
        self._selector = selector
        self._on_ring = on_ring
        self._on_server_gone = on_server_gone
        self._listener: socket.socket | None = None
        self._servers: set[Peer] = set()

    @property
    def is_taken(self) -> bool:
        """Whether we have it."""
        return self._listener is not None

    def take(self) -> bool:
        """Listen, unless another supervisor does: then False. Raises StoreUnusable where nobody can listen."""
        if not locks.acquire(self._premises.seat):
            return False
        try:
            self._listener = _listening(self._premises.socket)
        except BaseException:
            locks.release(self._premises.seat)
            raise
        self._selector.register(self._listener, selectors.EVENT_READ, self._on_knock)
        return True

    def give_up(self) -> None:
        """Leave it to whoever is next; the servers lose us, and look for another."""
        if self._listener is None:
            return
        self._selector.unregister(self._listener)
        self._listener.close()
        self._listener = None
        for peer in self._servers:
            peer.close()
        if os.path.exists(self._premises.socket):
            os.unlink(self._premises.socket)
        locks.release(self._premises.seat)

    def _on_knock(self, _: int) -> None:
        if self._listener is None:  # given up by a signal that came in the same round
            return
        try:
            sock, _address = self._listener.accept()
        except OSError:
            return
        self._servers.add(Peer(self._selector, sock, self._on_message, self._on_gone))

    def _on_message(self, peer: Peer, message: list[Any]) -> None:
        verb, *rest = message
        if verb == "ring":
            self._servers.discard(peer)  # it only rings, and goes
            self._on_ring()
            return
        try:
            self.writes.append(_write_of(peer, *rest))
        except TypeError as error:
            self._part_with(peer, error)

    def _part_with(self, peer: Peer, error: TypeError) -> None:
        """A server of another version, in the middle of an upgrade: without us it writes by itself."""
        events.stranger_sent_away(error)
        self._servers.discard(peer)
        peer.close()

    def _on_gone(self, peer: Peer) -> None:
        if peer in self._servers:
            self._servers.discard(peer)
            self._on_server_gone()


def _write_of(peer: Peer, number: int, rows: list[list[Any]], server: str | None, let_go: list[str]) -> Write:
    """Raises TypeError for a message of another form."""
    return Write(peer, number, [NewJob._make(row) for row in rows], server, let_go)


def _listening(path: str) -> socket.socket:
    """A socket of this name, in place of one that somebody left behind."""
    if os.path.exists(path):
        os.unlink(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(path)
        listener.listen(128)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise StoreUnusable(
            f"the worker cannot listen at {path} ({error}); set XDG_RUNTIME_DIR to a folder of this user alone, "
            "with a short name, on a file system that knows sockets"
        ) from error
    return listener
