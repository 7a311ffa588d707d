"""A house with an engine at work in it: one for each test, or one that the tests of a module share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.handover.engines import CELERY_ON_REDIS, DRAMATIQ_ON_RABBITMQ, KINDS, RQ, Kind, Shift
from tests.stores import Place, name_of, postgres, sqlite
from tests.worker.harness import House

PLACES: list[tuple[Kind, Place]] = [
    *((kind, sqlite) for kind in KINDS),
    *((kind, postgres) for kind in (CELERY_ON_REDIS, RQ, DRAMATIQ_ON_RABBITMQ)),
]


@contextmanager
def opened(
    kind: Kind, place: Place, folder: Path, *, url: str | None = None, app: str = ""
) -> Iterator[Shift]:
    """A shift in a house of its own; whatever it has started or left behind is gone at the end."""
    with ExitStack() as stack:
        house = House(folder, stack.enter_context(place(folder)))
        stack.callback(house.close)
        shift = Shift(house, kind, url=url, app=app)
        stack.callback(shift.close)
        stack.callback(house.close)
        yield shift


def told(each: object) -> str:
    """For the ids of tests: an engine on a broker, and a store."""
    kind, place = each  # type: ignore[misc]
    return f"{kind}-{name_of(place)}"


@pytest.fixture(params=KINDS, ids=str)
def shift(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shift]:
    """Nothing runs in it yet."""
    with opened(request.param, sqlite, tmp_path) as shift:
        yield shift


@pytest.fixture(scope="module", params=PLACES, ids=told)
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shift]:
    """With a relay and a worker that all tests of the module share; the module's APP is part of the app."""
    app = getattr(request.module, "APP", "")
    with opened(*request.param, tmp_path_factory.mktemp("served"), app=app) as shift:
        shift.relay()
        shift.worker()
        yield shift
