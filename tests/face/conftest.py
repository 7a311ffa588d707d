"""The app that the tests of the face use."""

from tests.served import app, queue, store

__all__ = ["app", "queue", "store"]
