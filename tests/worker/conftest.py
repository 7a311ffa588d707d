"""The house: see harness.py."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.worker.harness import House


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """A folder with an app, a store, and the processes that the test starts in it."""
    house = House(tmp_path)
    try:
        yield house
    finally:
        house.close()
