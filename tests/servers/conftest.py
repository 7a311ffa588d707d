"""The house that the tests of servers use."""

from tests.worker.conftest import house

__all__ = ["house"]
