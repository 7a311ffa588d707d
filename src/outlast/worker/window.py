"""The window of a worker on its own: `/metrics` and `/healthz` over HTTP, for those who watch it from outside.

In a thread of its own with a connection of its own: it still answers when the supervisor's loop is stuck, and then says
so.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from outlast import monitor
from outlast.errors import StoreError, StoreUnusable
from outlast.monitor import Answer
from outlast.store import Store, open_store
from outlast.worker import events

_PATIENCE = 10.0
"""Seconds that a client may take to say what it wants."""


class Window:
    """Listens at an address from when it is made until the process ends. Raises StoreUnusable where it cannot."""

    def __init__(self, address: str, url: str, claimed_at: Callable[[], int | None]) -> None:
        host, _, port = address.rpartition(":")
        try:
            self._server = _Server((host.strip("[]") or "127.0.0.1", int(port)), _Handler)
        except (OSError, ValueError, OverflowError) as error:
            raise StoreUnusable(
                f"the worker cannot listen at {address!r} ({error}); give --http a HOST:PORT that is free, such as "
                "127.0.0.1:9100"
            ) from error
        self._server.reader = _Reader(url, claimed_at)
        events.window_opened(self._server.server_address)
        threading.Thread(target=self._server.serve_forever, name="outlast-window", daemon=True).start()


class _Reader:
    """Asks the store, on the thread that answers."""

    def __init__(self, url: str, claimed_at: Callable[[], int | None]) -> None:
        self._url = url
        self._claimed_at = claimed_at
        self._store: Store | None = None

    def answer(self, path: str, query: dict[str, list[str]], accept: str) -> Answer | None:
        if path not in ("/healthz", "/metrics"):
            return None
        try:
            store = self._opened()
        except StoreError as error:
            return monitor.store_is_away(error)
        if path == "/metrics":
            return monitor.metrics_of(store, accept)
        return monitor.health(store, query.get("late", [None])[0], self._claimed_at())

    def _opened(self) -> Store:
        if self._store is None:
            self._store = open_store(self._url, create=False)
        return self._store


class _Server(HTTPServer):
    reader: _Reader


class _Handler(BaseHTTPRequestHandler):
    timeout = _PATIENCE
    server: _Server

    def do_GET(self) -> None:
        asked = urlsplit(self.path)
        answer = self.server.reader.answer(
            asked.path, parse_qs(asked.query), self.headers.get("Accept", "")
        ) or Answer(404, "text/plain", b"there are /metrics and /healthz here\n")
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.kind)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: whoever watches asks every few seconds."""
