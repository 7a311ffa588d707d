"""The stores that the contract holds for. Each test here runs on every one of them, and none is skipped for one."""

import os
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from outlast.clock import ManualClock
from outlast.store import Store, open_store
from tests.contract.making import worker_record


def sqlite(folder: Path) -> str:
    return f"sqlite:///{folder / 'outlast.db'}"


def postgres(folder: Path) -> str:
    schema = f"test_{os.getpid()}_{next(_numbers)}"
    _schemas.append(schema)
    return f"postgresql://postgres@127.0.0.1:5432/test?schema={schema}"


_numbers = count()
_schemas: list[str] = []
STORES = [sqlite, postgres]


@pytest.fixture(params=STORES, ids=lambda place: place.__name__)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return request.param(tmp_path)


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
