"""An app with a dashboard on a real store, no worker, and a browser that is not one: an ASGI client on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from outlast import TaskQueue
from outlast.store import Store, open_store
from tests.contract.making import worker_record

OWN = {"sec-fetch-site": "same-origin"}
"""What a browser adds to a form of the dashboard's own."""


@pytest.fixture
def app() -> FastAPI:
    return FastAPI()


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'outlast.db'}"


@pytest.fixture
def queue(app: FastAPI, url: str) -> Iterator[TaskQueue]:
    queue = TaskQueue(app, store=url, worker="external")
    yield queue
    queue.close()


@pytest.fixture
def store(queue: TaskQueue, url: str) -> Iterator[Store]:
    """The same store, for a test to put jobs in: it knows the workers w1 and w2."""
    store = open_store(url)
    for worker in ("w1", "w2"):
        store.enter(worker_record(worker, store.clock))
    yield store
    store.close()


@pytest.fixture
def mounted(app: FastAPI, queue: TaskQueue) -> FastAPI:
    app.mount("/outlast", queue.dashboard())
    return app


@pytest.fixture
def browser(mounted: FastAPI, store: Store) -> TestClient:
    """Looks at a dashboard without `auth`."""
    return local(mounted)


def local(app: Any, **options: Any) -> TestClient:
    """A client on this machine."""
    return TestClient(
        app, base_url="http://localhost", client=("127.0.0.1", 50000), follow_redirects=False, **options
    )
