"""The house that the worker's tests use, and the app that the face's tests use: on every kind of store."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.served import app, queue
from tests.stores import STORES, name_of
from tests.worker.harness import House

__all__ = ["app", "queue"]


@pytest.fixture(params=STORES, ids=name_of)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a store of the test's own."""
    with request.param(tmp_path) as url:
        yield url


@pytest.fixture
def house(tmp_path: Path, store: str) -> Iterator[House]:
    """A folder with an app, a store, and the processes that the test starts in it."""
    house = House(tmp_path, store)
    try:
        yield house
    finally:
        house.close()
