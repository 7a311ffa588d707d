"""The house that the worker's tests use, and the app that the face's tests use."""

from tests.served import app, queue, store
from tests.worker.conftest import house

__all__ = ["app", "house", "queue", "store"]
