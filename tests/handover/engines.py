"""The engines with their brokers, each as a team runs it: its own app, its own worker command.

shift = Shift(house, CELERY_ON_REDIS)    # writes the app, names a queue
shift.relay()                            # a supervisor that hands everything over
worker = shift.worker()                  # the engine's own command
job = shift.add("app:work", {"value": 1})
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import httpx
import pika
import redis

from outlast.handed import Handed
from outlast.job import Offered, new_id
from outlast.statistics import Statistics
from tests import brokers
from tests.postgresql import free_port
from tests.worker.harness import TASKS, House, Process

_IMPORT = "from outlast.queue import TaskQueue"
_QUEUE = """queue = TaskQueue(store=f"sqlite:///{HERE / 'outlast.db'}")"""


@dataclass(frozen=True)
class Kind:
    """An engine on a broker."""

    engine: str
    broker: str

    def __str__(self) -> str:
        return f"{self.engine}-{self.broker}"

    @property
    def url(self) -> str:
        return brokers.redis_url() if self.broker == "redis" else brokers.rabbitmq_url()


CELERY_ON_REDIS = Kind("celery", "redis")
CELERY_ON_RABBITMQ = Kind("celery", "rabbitmq")
RQ = Kind("rq", "redis")
DRAMATIQ_ON_REDIS = Kind("dramatiq", "redis")
DRAMATIQ_ON_RABBITMQ = Kind("dramatiq", "rabbitmq")
KINDS = [CELERY_ON_REDIS, CELERY_ON_RABBITMQ, RQ, DRAMATIQ_ON_REDIS, DRAMATIQ_ON_RABBITMQ]

IMPORTS = """
from contextlib import asynccontextmanager
from typing import Annotated
from fastapi import Depends, FastAPI
from outlast import Fail, Snooze, TaskQueue, in_worker


@asynccontextmanager
async def lifespan(app):
    note("opened", in_worker=in_worker())
    app.state.opened_in = os.getpid()
    yield
    note("closed")


fastapi_app = FastAPI(lifespan=lifespan)
"""

MORE = """

def get_doubled():
    note("before")
    yield 4
    note("after")


def depend(doubled: Annotated[int, Depends(get_doubled)], plus: int):
    return doubled + plus


def opened_in():
    return fastapi_app.state.opened_in


def snooze_once():
    if current_job().attempt == 1:
        raise Snooze(__import__("datetime").timedelta(milliseconds=10))
    return current_job().attempt
"""

BROKERS = {
    "celery": """
from celery import Celery
from outlast.handover import CeleryHandover

celery_app = Celery("app", broker=os.environ["BROKER"])
if os.environ["BROKER"].startswith("redis"):
    celery_app.conf.broker_transport_options = {"global_keyprefix": os.environ["QUEUE"]}
handover = CeleryHandover(celery_app)
""",
    "rq": """
from redis import Redis
from outlast.handover import RQHandover

redis = Redis.from_url(os.environ["BROKER"])
handover = RQHandover(redis)
""",
    "dramatiq": """
import dramatiq
from dramatiq.brokers.rabbitmq import RabbitmqBroker
from dramatiq.brokers.redis import RedisBroker
from outlast.handover import DramatiqHandover

if os.environ["BROKER"].startswith("redis"):
    broker = RedisBroker(url=os.environ["BROKER"], namespace=os.environ["QUEUE"])
else:
    broker = RabbitmqBroker(url=os.environ["BROKER"])
dramatiq.set_broker(broker)
handover = DramatiqHandover(broker)
broker.declare_queue(os.environ["QUEUE"])
""",
}


class Shift:
    """One house whose jobs an engine's workers run, from a queue of its own."""

    HOUR = timedelta(hours=1)

    def __init__(self, house: House, kind: Kind, *, app: str = "", url: str | None = None) -> None:
        self.house = house
        self.kind = kind
        self.queue = f"test-{new_id()}"
        self.url = url or kind.url
        self.env = {"BROKER": self.url, "QUEUE": self.queue, "OUTLAST_APP": "app"}
        handed = f"{BROKERS[kind.engine]}\nqueue = TaskQueue(fastapi_app, handover=handover)\n"
        assert _IMPORT in TASKS
        assert _QUEUE in TASKS
        house.write("app", TASKS.replace(_IMPORT, IMPORTS).replace(_QUEUE, handed) + MORE + app)

    def relay(
        self, *, in_flight: int = 100, lease: timedelta = timedelta(seconds=3), **settings: Any
    ) -> Process:
        """A supervisor that hands every queue over."""
        handed = Handed(queue=None, engine=self.kind.engine, in_flight=in_flight, lease=lease)
        return self.house.worker(env=self.env, children=0, handed=(handed,), **settings)

    def worker(self, *words: str, processes: int = 1) -> Process:
        """The engine's own worker command, with more words if need be."""
        command = [sys.executable, "-m", *self._command(processes), *words]
        return self.house.start(command, env=self.env, process_group=0)

    def _command(self, processes: int) -> list[str]:
        return {
            "celery": [
                *("celery", "-A", "app.celery_app", "worker", "-Q", self.queue, "-c", str(processes)),
                *("-n", f"{new_id()}@%h"),  # of two workers of one name, RabbitMQ lets only the first in
                *("--without-mingle", "--without-gossip", "-l", "info"),
            ],
            "rq": [
                *("rq.cli", "worker", self.queue, "--url", self.env["BROKER"]),
                *("-w", "outlast.handover.RQWorker"),
            ],
            "dramatiq": ["dramatiq", "app", "-Q", self.queue, "-p", str(processes), "-t", "4"],
        }[self.kind.engine]

    def serve(self, **env: str) -> int:
        """A server of the app; its port. It may not answer yet."""
        self.port = free_port()
        words = ("uvicorn", "app:fastapi_app", "--port", str(self.port), "--log-level", "warning")
        self.house.start([sys.executable, "-m", *words], env={**self.env, **env})
        return self.port

    def post(self, path: str, **more: Any) -> httpx.Response:
        """What the server answers, once it does."""

        def answer() -> httpx.Response | None:
            with suppress(httpx.ConnectError):
                return httpx.post(f"http://127.0.0.1:{self.port}{path}", **more)
            return None

        return self.house.until(answer, "the server to answer")

    def publish(self, job: str, attempt: int) -> None:
        """One more copy of a message, by the handover that the app has."""
        app: dict[str, Any] = {"os": SimpleNamespace(environ=self.env)}
        exec(BROKERS[self.kind.engine], app)
        publisher = app["handover"].publisher()
        publisher.publish(Offered(job, attempt, "", self.queue, 0))
        publisher.close()

    def chain(self, *rows: Any) -> list[str]:
        return self.house.chain(rows)

    def add(self, task: str, arguments: Mapping[str, Any] | None = None, /, **options: Any) -> str:
        return self.house.add(task, arguments, **{"queue": self.queue, **options})

    def row(self, task: str, arguments: Mapping[str, Any] | None = None, /, **options: Any) -> Any:
        return self.house.row(task, arguments, **{"queue": self.queue, **options})

    def counted(self, task: str, condition: Callable[[Statistics], object]) -> Statistics:
        """What is counted of a task in all, once it is so."""

        def found() -> Statistics | None:
            totals = self.house.store.totals()
            return next((each for each in totals if each.task == task and condition(each)), None)

        return self.house.until(found, f"the counts of {task}")

    def messages(self) -> int:
        """How many messages the broker has for the queue."""
        if self.kind.broker == "redis":
            return _count_in_redis(self.env["BROKER"], self.queue)
        return _in_rabbitmq(self.env["BROKER"], lambda channel: _count_in_rabbitmq(channel, self.queue))

    def wipe(self) -> None:
        """The broker forgets what it has of this shift."""
        if self.kind.broker == "redis":
            _clean_redis(self.env["BROKER"], self.queue)
        else:
            _in_rabbitmq(self.env["BROKER"], lambda channel: channel.queue_purge(self.queue))

    def close(self) -> None:
        """Take away what is left at the broker."""
        if self.kind.broker == "redis":
            with suppress(redis.RedisError):
                _clean_redis(self.url, self.queue)
        else:
            _in_rabbitmq(self.url, lambda channel: _clean_rabbitmq(channel, self.queue))


def _count_in_redis(url: str, name: str) -> int:
    with redis.Redis.from_url(url) as client:
        keys = [key for key in client.scan_iter(f"*{name}*") if client.type(key) == b"list"]
        return sum(client.llen(key) for key in keys)


def _clean_redis(url: str, name: str) -> None:
    with redis.Redis.from_url(url) as client:
        for key in client.scan_iter(f"*{name}*"):
            client.delete(key)


def _in_rabbitmq(url: str, work: Callable[[Any], Any]) -> Any:
    connection = pika.BlockingConnection(pika.URLParameters(url))
    try:
        return work(connection.channel())
    finally:
        connection.close()


def _count_in_rabbitmq(channel: Any, name: str) -> int:
    try:
        count: int = channel.queue_declare(name, passive=True).method.message_count
    except pika.exceptions.ChannelClosedByBroker:  # there is no such queue
        return 0
    return count


def _clean_rabbitmq(channel: Any, name: str) -> None:
    for queue in (name, f"{name}.DQ", f"{name}.XQ"):
        channel.queue_delete(queue)
    channel.exchange_delete(name)
