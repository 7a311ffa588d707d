"""The fixture `outlast_queue` in the projects of users, with each kind of client, loop and plugin."""

import subprocess
from pathlib import Path

import pytest

from tests import projects

APP = """
import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from fastapi import FastAPI
from outlast import BackgroundTasks, TaskQueue


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    app.state.loop = asyncio.get_running_loop()
    yield


app = FastAPI(lifespan=lifespan)
queue = TaskQueue(app)
sent: list[str] = []


async def send(email: str) -> str:
    await asyncio.sleep(0)
    sent.append(email)
    return email


def remind(email: str) -> None:
    sent.append(f"reminder for {email}")


async def on_the_loop_of_the_app() -> bool:
    return app.state.loop is asyncio.get_running_loop()


@app.post("/{email}")
async def notify(email: str, tasks: BackgroundTasks):
    tasks.add_task(send, email)
    tasks.add_task(queue.options(remind, delay=timedelta(days=3)), email)
"""

WITH_TEST_CLIENT = """
import pytest
from fastapi.testclient import TestClient
from main import app, on_the_loop_of_the_app, queue, remind, send, sent
from outlast.testing import OutlastQueue


@pytest.fixture(autouse=True)
def _none_sent():
    sent.clear()


@pytest.mark.parametrize("number", range(4))
def test_without_lifespan(number: int, outlast_queue: OutlastQueue):
    TestClient(app).post("/you")
    assert sent == []
    outlast_queue.assert_enqueued(send, email="you")
    outlast_queue.drain()
    assert sent == ["you"]
    outlast_queue.advance(days=3)
    assert sent == ["you", "reminder for you"]


@pytest.mark.parametrize("number", range(4))
def test_with_lifespan(number: int, outlast_queue: OutlastQueue):
    with TestClient(app) as client:
        client.post("/you")
        assert outlast_queue.run_job(outlast_queue.assert_enqueued(send)) == "you"
        assert outlast_queue.run_job(queue.enqueue(on_the_loop_of_the_app))
    outlast_queue.advance(days=3)
    assert sent == ["you", "reminder for you"]


def test_beside_outlast_inline(outlast_inline, outlast_queue: OutlastQueue):
    TestClient(app).post("/you")
    assert sent == []
    outlast_queue.drain()
    assert sent == ["you"]
"""

WITH_ASGI_TRANSPORT = """
import httpx
import pytest
from main import app, queue, send, sent
from outlast.testing import OutlastQueue

{marks}


@pytest.mark.parametrize("number", range(4))
async def test_it(number: int, outlast_queue: OutlastQueue):
    sent.clear()
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        await client.post("/you")
    job = outlast_queue.assert_enqueued(send, email="you")
    outlast_queue.fail_next(send, ConnectionError)
    await outlast_queue.adrain()
    assert sent == []
    await outlast_queue.aadvance(seconds=1)
    assert (sent, job.state) == (["you"], "succeeded")
    await outlast_queue.aadvance(days=3)
    assert sent == ["you", "reminder for you"]
    assert await outlast_queue.arun_job(await queue.aenqueue(send, "me")) == "me"


{more}
"""

ANYIO_ON_ASYNCIO = """
@pytest.fixture
def anyio_backend():
    return "asyncio"
"""
ANYIO_ON_TRIO = """
@pytest.fixture
def anyio_backend():
    return "trio"
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "main.py").write_text(APP)
    return tmp_path


def pytest_in(project: Path, *args: str, tests: str) -> subprocess.CompletedProcess[str]:
    (project / "test_main.py").write_text(tests)
    return projects.pytest_in(project, "-o", "asyncio_default_fixture_loop_scope=function", *args)


def passes(run: subprocess.CompletedProcess[str], tests: int) -> None:
    assert run.returncode == 0, run.stdout + run.stderr
    assert f"{tests} passed" in run.stdout


def test_with_test_client(project):
    passes(pytest_in(project, tests=WITH_TEST_CLIENT), 9)
    assert sorted(path.name for path in project.iterdir()) == ["main.py", "test_main.py"]


def test_in_several_processes(project):
    passes(pytest_in(project, "-n", "2", tests=WITH_TEST_CLIENT), 9)


@pytest.mark.parametrize(
    ("marks", "more", "args"),
    [
        pytest.param(
            "pytestmark = pytest.mark.asyncio", "", ["-o", "asyncio_mode=strict"], id="asyncio-strict"
        ),
        pytest.param("", "", ["-o", "asyncio_mode=auto"], id="asyncio-auto"),
        pytest.param("pytestmark = pytest.mark.anyio", ANYIO_ON_ASYNCIO, [], id="anyio"),
    ],
)
def test_with_httpx_and_coroutines(marks, more, args, project):
    passes(pytest_in(project, *args, tests=WITH_ASGI_TRANSPORT.format(marks=marks, more=more)), 4)


def test_on_trio_the_fixture_says_what_to_do(project):
    tests = WITH_ASGI_TRANSPORT.format(marks="pytestmark = pytest.mark.anyio", more=ANYIO_ON_TRIO)

    run = pytest_in(project, tests=tests)

    assert run.returncode == 1, run.stdout + run.stderr
    assert "4 errors" in run.stdout
    assert "outlast_queue in a test on trio: Outlast runs on asyncio" in run.stdout


def test_a_planned_failure_that_nothing_meets_fails_the_test(project):
    tests = (
        "from main import send\n\n"
        "def test_it(outlast_queue):\n"
        "    outlast_queue.fail_next(send, ConnectionError('no line'))\n"
    )

    run = pytest_in(project, tests=tests)

    assert "1 passed, 1 error" in run.stdout
    assert (
        "fail_next asked for ConnectionError('no line') of main:send, and no attempt has met it" in run.stdout
    )


def test_a_failed_assertion_shows_the_test_and_not_our_code(project):
    tests = (
        "from main import send\n\n"
        "def test_it(outlast_queue):\n"
        "    send_no_mail()\n"
        "    outlast_queue.assert_enqueued(send, email='you')\n\n"
        "def send_no_mail(): ...\n"
    )

    run = pytest_in(project, tests=tests)

    assert "AssertionError: no job main:send(email='you') was enqueued; nothing was" in run.stdout
    assert "outlast/testing" not in run.stdout
