"""An app with a TaskQueue on a real store, and no worker: what was committed stays to be looked at."""

import pytest
from fastapi import FastAPI

from outlast import TaskQueue


@pytest.fixture
def app():
    return FastAPI()


@pytest.fixture
def store(tmp_path):
    return f"sqlite:///{tmp_path / 'outlast.db'}"


@pytest.fixture
def queue(app, store):
    queue = TaskQueue(app, store=store, worker="external")
    yield queue
    queue.close()
