"""The workers on other machines that share a store: told when there is something for them, heard when there is for us.

Both only save waiting: every worker also looks once a second by itself.
"""

from __future__ import annotations

import selectors
from collections.abc import Callable

from outlast.clock import steady
from outlast.errors import StoreError
from outlast.store import Listener, Store
from outlast.worker.outage import Outage

_AT_MOST_EVERY = 0.05
"""Seconds between two announcements: each makes the commits of the whole database wait for one another."""


class Neighbours:
    """How one worker keeps in touch with the others."""

    def __init__(
        self, selector: selectors.BaseSelector, on_heard: Callable[[], None], outage: Outage
    ) -> None:
        self.tell_at = float("inf")
        """When to call `tell`, on the steady clock."""
        self._selector = selector
        self._on_heard = on_heard
        self._outage = outage
        self._listener: Listener | None = None
        self._can_listen = True
        self._told_at = 0.0

    def owe(self) -> None:
        """There is something that others may want to take: they are told soon."""
        self.tell_at = min(self.tell_at, max(steady(), self._told_at + _AT_MOST_EVERY))

    def tell(self, store: Store) -> None:
        """Announce it. Raises StoreError."""
        self.tell_at, self._told_at = float("inf"), steady()
        store.announce()

    def listen(self, store: Store) -> None:
        """Begin to listen, unless we do, or never can. Raises StoreError."""
        if self._listener is not None or not self._can_listen:
            return
        self._listener = store.listener()
        self._can_listen = self._listener is not None
        if self._listener is not None:
            self._selector.register(self._listener, selectors.EVENT_READ, self._on_readable)

    def close(self) -> None:
        """Listen no longer."""
        if self._listener is not None:
            self._selector.unregister(self._listener)
            self._listener.close()
            self._listener = None

    def _on_readable(self, _: int) -> None:
        assert self._listener is not None
        try:
            if self._listener.heard():
                self._on_heard()
        except StoreError as error:
            self._outage.failed(error)
            self.close()  # and begin again with the next chores
