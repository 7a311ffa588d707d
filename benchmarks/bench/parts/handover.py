"""(i) Handover: the same no-op on each engine alone, and handed over to it.

Brokers and workers are those of tests/handover: one process of the engine's own worker. Alone, the engine's own client
publishes; handed over, the jobs are committed to SQLite and published by the relay. A task says when it starts by
pushing the time into a list on Redis.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from contextlib import closing
from typing import NamedTuple

import redis

from bench.processes import Broken
from bench.report import Table
from bench.setting import Setting
from bench.spread import Spread
from tests.brokers import redis_url
from tests.handover.engines import KINDS, Kind, Shift
from tests.polling import polled
from tests.worker.harness import House

_APP = """
from redis import Redis as _Redis

_marks = _Redis.from_url(os.environ["MARKS"])


def mark():
    _marks.rpush(os.environ["QUEUE"] + ":marks", time.time())
"""
_ALONE = {
    "celery": """
celery_app.conf.task_default_queue = os.environ["QUEUE"]
own = celery_app.task(name="own")(mark)
send = own.delay
""",
    "rq": """
from rq import Queue
_queue = Queue(os.environ["QUEUE"], connection=redis)


def send():
    _queue.enqueue("app.mark", result_ttl=0)
""",
    "dramatiq": """
own = dramatiq.actor(queue_name=os.environ["QUEUE"])(mark)
send = own.send
""",
}
_SENDER = """
import sys, time, app
for _ in range(int(sys.argv[1])):
    app.send()
"""
_SINGLES = """
import sys, time, app
for _ in range(int(sys.argv[1])):
    before = app._marks.llen(app.os.environ["QUEUE"] + ":marks")
    print(time.time(), flush=True)
    app.send()
    while app._marks.llen(app.os.environ["QUEUE"] + ":marks") == before:
        time.sleep(0.0005)
"""


def measure(setting: Setting) -> list[Table]:
    rounds: dict[Kind, list[Figures]] = {kind: [] for kind in KINDS}
    for number in range(setting.pick(3, 1)):
        for kind in KINDS if number % 2 == 0 else reversed(KINDS):
            figures = _measure_one(setting, kind)
            rounds[kind].append(figures)
            setting.say(f"round {number + 1}, {kind}: {figures.told()}")
    return [_table(rounds)]


class Figures(NamedTuple):
    """Jobs a second from the first start to the last, and the median time (ms) from a call to a start."""

    alone: float
    handed: float
    alone_latency: float
    handed_latency: float

    def told(self) -> str:
        return (
            f"{self.alone:.0f} jobs/s alone, {self.handed:.0f} handed over; "
            f"p50 {self.alone_latency:.1f} ms alone, {self.handed_latency:.1f} handed over"
        )


def _measure_one(setting: Setting, kind: Kind) -> Figures:
    house = House(setting.fresh(f"handover-{kind}"))
    shift = Shift(house, kind, app=_APP + _ALONE[kind.engine])
    shift.env["MARKS"] = redis_url()
    try:
        with closing(redis.Redis.from_url(redis_url())) as client:
            marks = Marks(client, f"{shift.queue}:marks")
            shift.relay(log_level="WARNING")
            shift.worker()
            house.result(shift.add("app:mark"))  # all is up
            many, single = setting.pick(1000, 100), setting.pick(100, 10)
            alone, alone_latency = _alone(house, shift, marks, many, single)
            handed, handed_latency = _handed(house, shift, marks, many, single)
            marks.clear()
            return Figures(alone, handed, alone_latency, handed_latency)
    finally:
        house.close()
        shift.close()


class Marks:
    """When tasks started: a list on Redis."""

    def __init__(self, client: redis.Redis, key: str) -> None:
        self._client = client
        self._key = key

    def clear(self) -> None:
        self._client.delete(self._key)

    def wait(self, count: int) -> list[float]:
        """All times, once there are so many. Raises Broken."""
        if not polled(lambda: self._client.llen(self._key) >= count, 60):
            raise Broken(f"{self._client.llen(self._key)} of {count} jobs started")
        return [float(each) for each in self._client.lrange(self._key, 0, -1)]


def _alone(house: House, shift: Shift, marks: Marks, many: int, single: int) -> tuple[float, float]:
    """By the engine's own client, in a process of its own."""
    marks.clear()
    _run(house, shift, _SENDER, many)
    rate = _rate(marks.wait(many))
    marks.clear()
    sent = [float(line) for line in _run(house, shift, _SINGLES, single).split()]
    return rate, _latency(sent, marks.wait(single))


def _handed(house: House, shift: Shift, marks: Marks, many: int, single: int) -> tuple[float, float]:
    marks.clear()
    house.add_all([shift.row("app:mark") for _ in range(many)])
    rate = _rate(marks.wait(many))
    marks.clear()
    sent = []
    for number in range(single):
        sent.append(time.time())
        shift.add("app:mark")
        marks.wait(number + 1)
    return rate, _latency(sent, marks.wait(single))


def _run(house: House, shift: Shift, code: str, count: int) -> str:
    return subprocess.run(
        [sys.executable, "-c", code, str(count)],
        env={**os.environ, **shift.env, "OUTLAST_STORE": house.url},
        cwd=house.folder,
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def _rate(marks: list[float]) -> float:
    return (len(marks) - 1) / (max(marks) - min(marks))


def _latency(sent: list[float], marks: list[float]) -> float:
    return 1000 * statistics.median(mark - at for at, mark in zip(sent, marks, strict=True))


def _table(rounds: dict[Kind, list[Figures]]) -> Table:
    table = Table(
        "(i) Handed over to other engines",
        ["engine, broker", "alone, jobs/s", "handed over, jobs/s", "alone, p50 ms", "handed over, p50 ms"],
    )
    for kind, figures in rounds.items():
        rates, latencies = zip(*((each[:2], each[2:]) for each in figures), strict=True)
        table.add(
            f"{kind.engine}, {kind.broker}",
            *(Spread.of([*each]).told() for each in zip(*rates, strict=True)),
            *(Spread.of([*each]).told(1) for each in zip(*latencies, strict=True)),
        )
    table.notes.append(
        "One process of each engine's own worker: Celery's prefork pool of one, `outlast.handover.RQWorker`, "
        "Dramatiq's four threads. Handed over, each job is a row on SQLite that is committed, published, claimed and "
        "settled; alone it is a message."
    )
    return table
