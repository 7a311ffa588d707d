"""The examples of docs/handover.md, started by the commands that stand there, on a Redis of their own."""

import shlex
import sys
from pathlib import Path

import httpx
import pytest

from tests.brokers import RedisServer
from tests.docs.pages import ROOT
from tests.polling import polled
from tests.postgresql import free_port
from tests.worker.harness import House

PAGE = (ROOT / "docs" / "handover.md").read_text("utf-8")
COMMANDS = {
    "celery": "celery -A main.celery_app worker -Q mail,default",
    "rq": "OUTLAST_APP=main:app rq worker mail default -w outlast.handover.RQWorker",
    "dramatiq": "dramatiq main -Q mail default",
}


@pytest.mark.parametrize("engine", COMMANDS)
def test_the_example_works_as_it_stands(engine, tmp_path):
    command = COMMANDS[engine]
    assert f"\n{command}\n" in PAGE
    broker, house = RedisServer(), House(tmp_path)
    broker.start()
    try:
        source = (ROOT / "docs" / "snippets" / f"handover_{engine}.py").read_text("utf-8")
        assert "redis://localhost:6379/0" in source
        house.write("main", source.replace("redis://localhost:6379/0", broker.url))
        port = free_port()
        house.start([sys.executable, "-m", "uvicorn", "main:app", "--port", str(port)])
        words, env = _started(command, broker)
        worker = house.start(words, env=env)
        job = _posted(port)

        assert house.result(job) is None
        assert house.job(job).engine == engine
        assert "mail to you@example.com: Welcome!" in house.until(
            lambda: worker.log if "mail to" in worker.log else None, "the mail in the worker's log"
        )
    finally:
        house.close()
        broker.kill()


def _started(command: str, broker: RedisServer):
    """The words and the environment of a command of the page; only RQ is told where its Redis is."""
    words = shlex.split(command)
    env = dict(word.split("=") for word in words if word.startswith("OUTLAST_"))
    program, *rest = words[len(env) :]
    told = ["--url", broker.url] if program == "rq" else []
    return [str(Path(sys.executable).with_name(program)), *rest, *told], env


def _posted(port: int) -> str:
    def post() -> str | None:
        try:
            return httpx.post(f"http://127.0.0.1:{port}/welcome/you@example.com").json()["job"]
        except httpx.ConnectError:
            return None

    job = polled(post, 20)
    assert job, "the server does not answer"
    return job
