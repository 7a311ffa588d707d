"""The pytest plugin, found by the package's entry point.

`outlast_inline` lets the tests of an app pass as they did with FastAPI's BackgroundTasks: nothing is spawned, nothing
is written to disk, and jobs run within the request's call. pytest loads this module at its start, so it imports the
rest of Outlast only when the fixture is used.
"""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

_STORE, _WORKER = "sqlite://", "inline"


@pytest.fixture
def outlast_inline(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Run jobs within the call that adds them, as `TestClient` users expect; an error of a task is raised there.

    It holds for every TaskQueue of the process, also for those that the test makes. Use it before a client that runs
    the app's lifespan is made. For all tests of a folder, in its conftest.py:

        @pytest.fixture(autouse=True)
        def _inline(outlast_inline): ...
    """
    from outlast.queue import TaskQueue

    monkeypatch.setenv("OUTLAST_STORE", _STORE)
    monkeypatch.setenv("OUTLAST_WORKER", _WORKER)
    before = list(TaskQueue.made)
    with ExitStack() as switched:
        for queue in before:
            switched.enter_context(queue.switched(store=_STORE, worker=_WORKER))
        yield
    for queue in TaskQueue.made:
        if queue not in before:
            queue.close()
