"""A new store on the PostgreSQL that all tests share, and a house on it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.postgresql import Server, new_store
from tests.worker.harness import House


@pytest.fixture
def url() -> Iterator[str]:
    with new_store() as url:
        yield url


@pytest.fixture
def house(tmp_path: Path, url: str) -> Iterator[House]:
    house = House(tmp_path, url)
    try:
        yield house
    finally:
        house.close()


@pytest.fixture
def server() -> Iterator[Server]:
    """A PostgreSQL of the test's own, running."""
    server = Server()
    server.start()
    try:
        yield server
    finally:
        server.close()
