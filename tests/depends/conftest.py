"""The app whose tasks declare dependencies."""

from tests.served import app, queue, store

__all__ = ["app", "queue", "store"]
