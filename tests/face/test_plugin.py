"""The pytest plugin, as it meets the tests of a user's app: in a project of its own, in a process of its own."""

import pytest

from tests import projects

APP = """
from fastapi import FastAPI
from outlast import BackgroundTasks, TaskQueue

app = FastAPI()
queue = TaskQueue(app)
sent = []


def send(email: str):
    if email == "nobody":
        raise LookupError(email)
    sent.append(email)


@app.post("/{email}")
async def notify(email: str, tasks: BackgroundTasks):
    return {"job": tasks.add_task(send, email).id}


def create_app():
    app = FastAPI()
    queue = TaskQueue(app)

    @app.post("/{email}")
    async def notify(email: str, tasks: BackgroundTasks):
        tasks.add_task(send, email)

    return app
"""

TESTS = """
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from main import app, create_app, queue, send, sent


@pytest.fixture(autouse=True)
def _inline(outlast_inline):
    sent.clear()


def test_jobs_run_within_the_call():
    answer = TestClient(app).post("/me")
    assert sent == ["me"]
    assert queue.job(answer.json()["job"]).state == "succeeded"


def test_with_the_lifespan_too():
    with TestClient(app) as client:
        client.post("/me")
        assert sent == ["me"]


def test_an_error_surfaces():
    with pytest.raises(LookupError):
        TestClient(app).post("/nobody")


def test_a_queue_made_in_the_test():
    TestClient(create_app()).post("/me")
    assert sent == ["me"]


def test_enqueue_runs_within_the_call():
    job = queue.enqueue(send, "me")
    assert sent == ["me"]
    assert job.state == "succeeded"


def test_each_test_has_a_store_of_its_own():
    assert queue.ask(lambda store: store.find()) == []
"""


@pytest.fixture
def project(tmp_path):
    (tmp_path / "main.py").write_text(APP)
    (tmp_path / "test_main.py").write_text(TESTS)
    return tmp_path


def pytest_in(project, *args):
    return projects.pytest_in(project, *projects.WITHOUT_ASYNCIO, *args)


def test_the_tests_of_an_app_pass_and_leave_nothing_behind(project):
    run = pytest_in(project)

    assert run.returncode == 0, run.stdout + run.stderr
    assert "6 passed" in run.stdout
    assert sorted(path.name for path in project.iterdir()) == ["main.py", "test_main.py"]


def test_pytest_s_start_loads_nothing_of_it(project):
    (project / "test_main.py").write_text(
        "import sys\n\ndef test_start():\n"
        "    assert 'outlast.testing.plugin' in sys.modules\n"
        "    assert not {'outlast.queue', 'fastapi', 'pydantic'} & set(sys.modules)\n"
    )

    run = pytest_in(project)

    assert run.returncode == 0, run.stdout + run.stderr


def test_without_the_fixture_nothing_changes(project):
    (project / "test_main.py").write_text(
        "from main import queue\n\ndef test_it():\n    assert queue.worker == 'process'\n"
    )

    assert pytest_in(project).returncode == 0
