"""A connection of the supervisor's loop: messages in, messages out, never waiting.

What the other side does not take at once is kept and sent when it can: a supervisor that waited for a child could wait
for one that waits for it.
"""

from __future__ import annotations

import selectors
import socket
from collections.abc import Callable
from typing import Any

from outlast import wire

_CHUNK = 1 << 16  # with more, the C library maps and unmaps memory for each message


class Peer:
    """One connected socket in a selector; its events call `on_message(peer, message)` and `on_gone(peer)`."""

    def __init__(
        self,
        selector: selectors.BaseSelector,
        sock: socket.socket,
        on_message: Callable[[Peer, list[Any]], None],
        on_gone: Callable[[Peer], None],
    ) -> None:
        sock.setblocking(False)
        self._selector = selector
        self._socket = sock
        self._on_message = on_message
        self._on_gone = on_gone
        self._unframer = wire.Unframer()
        self._unsent = bytearray()
        self.is_open = True
        selector.register(sock, selectors.EVENT_READ, self._on_event)

    def send(self, *message: Any) -> None:
        if not self.is_open:
            return
        data = wire.frame(*message)
        if self._unsent:
            self._unsent += data
            return
        sent = self._try_send(data)
        if sent < len(data):
            self._unsent += data[sent:]
            self._selector.modify(self._socket, selectors.EVENT_READ | selectors.EVENT_WRITE, self._on_event)

    def drain(self) -> None:
        """Read what the other side sent before it went away."""
        while self.is_open and self._read():
            pass

    def close(self) -> None:
        if self.is_open:
            self.is_open = False
            self._selector.unregister(self._socket)
            self._socket.close()

    def _on_event(self, mask: int) -> None:
        if mask & selectors.EVENT_WRITE and self.is_open:
            self._send_rest()
        if mask & selectors.EVENT_READ and self.is_open:
            self._read()

    def _read(self) -> bool:
        """Take what has come. False when there is no more for now."""
        try:
            data = self._socket.recv(_CHUNK)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if not data:
            self.close()
            self._on_gone(self)
            return False
        for message in self._unframer.feed(data):
            self._on_message(self, message)
        return True

    def _try_send(self, data: bytes | bytearray) -> int:
        try:
            return self._socket.send(data)
        except BlockingIOError:
            return 0
        except OSError:
            return len(data)  # it is gone; the reading side will say so

    def _send_rest(self) -> None:
        del self._unsent[: self._try_send(self._unsent)]
        if not self._unsent:
            self._selector.modify(self._socket, selectors.EVENT_READ, self._on_event)
