"""The house (see harness.py): one for each test, or one with a worker that all tests of a module share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.worker.harness import TASKS, House


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """A folder with an app, a store, and the processes that the test starts in it."""
    house = House(tmp_path)
    try:
        yield house
    finally:
        house.close()


@pytest.fixture(scope="module")
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A house whose worker serves every test of the module: its app is the module's APP, its settings are SETTINGS.

    Quicker than one each. A test may kill children of it, but not the supervisor.
    """
    house = House(tmp_path_factory.mktemp("served"))
    try:
        house.write("app", getattr(request.module, "APP", TASKS))
        house.worker(**getattr(request.module, "SETTINGS", {}))
        yield house
    finally:
        house.close()
