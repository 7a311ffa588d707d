"""The house that the worker's tests use."""

from tests.worker.conftest import house

__all__ = ["house"]
