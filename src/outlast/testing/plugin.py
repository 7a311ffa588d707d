"""The pytest plugin, found by the package's entry point.

`outlast_inline` lets the tests of an app pass as they did with FastAPI's BackgroundTasks: jobs run within the request's
call. `outlast_queue` lets nothing run until the test says so, and gives it the clock. With either, nothing is spawned
and nothing is written to disk. pytest loads this module at its start, so it imports the rest of Outlast only when a
fixture is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from outlast.testing.queue import OutlastQueue


@pytest.fixture
def outlast_inline() -> Iterator[None]:
    """Run jobs within the call that adds them, as `TestClient` users expect; an error of a task is raised there.

    It holds for every TaskQueue of the process, also for those that the test makes. Use it before a client that runs
    the app's lifespan is made. For all tests of a folder, in its conftest.py:

        @pytest.fixture(autouse=True)
        def _inline(outlast_inline): ...
    """
    from outlast.testing.switching import every_queue

    with every_queue(store="sqlite://", worker="inline"):
        yield


@pytest.fixture
def outlast_queue(request: pytest.FixtureRequest) -> Iterator[OutlastQueue]:
    """Keep jobs until the test runs them: `drain()`, `run_job(job)`, `advance(hours=1)`; look at them before that.

    It holds for every TaskQueue of the process, also for those that the test makes. Use it before a client that runs
    the app's lifespan is made.
    """
    from outlast.testing.queue import in_hand

    _refuse_trio(request)
    with in_hand() as queue:
        yield queue
        queue.require_failures_met()


def _refuse_trio(request: pytest.FixtureRequest) -> None:
    """Here rather than at the first request, which would be answered 503."""
    if "anyio_backend" in request.fixturenames:
        backend = request.getfixturevalue("anyio_backend_name")
        if backend != "asyncio":
            pytest.fail(
                f"outlast_queue in a test on {backend}: Outlast runs on asyncio. For anyio's plugin, put a fixture "
                '`anyio_backend` into conftest.py that returns "asyncio"',
                pytrace=False,
            )
