"""A dashboard on a real server, with a real store that tests put jobs in, and a real browser that looks at it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI
from playwright.sync_api import Browser, expect

from outlast import TaskQueue
from outlast.store import Store, open_store
from tests.browser.chromium import Window, new_window, started
from tests.contract.making import worker_record
from tests.polling import polled

expect.set_options(timeout=15_000)  # a loaded machine takes its time


@contextmanager
def served(app: Any) -> Iterator[str]:
    """The address of a server in a thread of this process."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        assert polled(lambda: server.started, 10)
        yield f"http://localhost:{listening.getsockname()[1]}"
        server.should_exit = True
        thread.join()


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[TaskQueue]:
    queue = TaskQueue(FastAPI(), store=f"sqlite:///{tmp_path / 'outlast.db'}", worker="external")
    yield queue
    queue.close()


@pytest.fixture
def store(queue: TaskQueue) -> Iterator[Store]:
    with closing(open_store(queue.url)) as store:
        store.enter(worker_record("w1", store.clock))
        yield store


@pytest.fixture
def base(queue: TaskQueue, store: Store) -> Iterator[str]:
    """The address of the dashboard."""
    assert queue.app is not None
    queue.app.mount("/outlast", queue.dashboard())
    with served(queue.app) as url:
        yield f"{url}/outlast"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """One for all tests of a module; none of them is `async def`."""
    with started() as browser:
        yield browser


@pytest.fixture
def window(chromium: Browser) -> Iterator[Window]:
    """On a desk. Nothing may go wrong in any of its pages."""
    with new_window(chromium, viewport={"width": 1280, "height": 900}) as window:
        yield window
        assert window.problems == []


Look = Callable[[str], Any]


@pytest.fixture
def look(window: Window, base: str) -> Look:
    """Opens a page of the dashboard, by the rest of its address."""
    return lambda rest="": window.page(f"{base}/{rest}")
