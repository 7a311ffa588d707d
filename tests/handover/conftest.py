"""A house, and a shift in it for each engine."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.handover.engines import KINDS, Kind, Shift
from tests.worker.conftest import house
from tests.worker.harness import House

__all__ = ["house"]


@pytest.fixture(params=KINDS, ids=str)
def kind(request: pytest.FixtureRequest) -> Kind:
    return request.param


@pytest.fixture
def shift(house: House, kind: Kind) -> Iterator[Shift]:
    shift = Shift(house, kind)
    yield shift
    house.close()
    shift.close()
