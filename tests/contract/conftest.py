"""The stores that the contract holds for. Each test here runs on every one of them, and none is skipped for one."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from outlast.clock import ManualClock
from outlast.store import Store, open_store
from tests.contract.making import worker_record
from tests.stores import STORES, name_of


@pytest.fixture(params=STORES, ids=name_of)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with request.param(tmp_path) as url:
        yield url


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def connect(url: str, clock: ManualClock) -> Iterator[Callable[[], Store]]:
    """Opens the same store, as another process would."""
    opened: list[Store] = []

    def connect() -> Store:
        opened.append(open_store(url, clock=clock))
        return opened[-1]

    yield connect
    for store in opened:
        store.close()


@pytest.fixture
def store(connect: Callable[[], Store]) -> Store:
    """An empty store that knows the workers `w1` and `w2`."""
    store = connect()
    for worker in ("w1", "w2"):
        store.enter(worker_record(worker, store.clock))
    return store


@pytest.fixture
def twin(store: Store, connect: Callable[[], Store]) -> Store:
    """A second connection to the same store."""
    return connect()
