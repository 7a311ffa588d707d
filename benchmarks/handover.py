"""What the relay adds: the same no-op on each engine alone, and handed over. `python benchmarks/handover.py [ROUNDS]`.

Brokers and workers are those of tests/handover: one process of the engine's own worker on this machine. Alone, the
engine's own client publishes; handed over, the jobs are committed to SQLite and published by the relay. A task says
when it starts by pushing the time into a list on Redis.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import redis  # noqa: E402

from tests.brokers import redis_url  # noqa: E402
from tests.handover.engines import KINDS, RQ, Kind, Shift  # noqa: E402
from tests.polling import polled  # noqa: E402
from tests.worker.harness import House  # noqa: E402

JOBS, SINGLE = 500, 40
MORE = """
from redis import Redis as _Redis

_marks = _Redis.from_url(os.environ["MARKS"])


def mark():
    _marks.rpush(os.environ["QUEUE"] + ":marks", time.time())
"""
ALONE = {
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
SENDER = """
import sys, time, app
for _ in range(int(sys.argv[1])):
    app.send()
"""
SINGLES = """
import sys, time, app
for _ in range(int(sys.argv[1])):
    before = app._marks.llen(app.os.environ["QUEUE"] + ":marks")
    print(time.time(), flush=True)
    app.send()
    while app._marks.llen(app.os.environ["QUEUE"] + ":marks") == before:
        time.sleep(0.0005)
"""


def measured(kind: Kind) -> tuple[float, float, float, float]:
    """Jobs a second alone and handed over, then the median latency (ms) of each."""
    house = House(Path(tempfile.mkdtemp()))
    shift = Shift(house, kind, app=MORE + ALONE[kind.engine])
    shift.env["MARKS"] = redis_url()
    client = redis.Redis.from_url(redis_url())
    key = f"{shift.queue}:marks"
    try:
        shift.relay(log_level="INFO")
        shift.worker()
        house.result(shift.add("app:mark"))
        alone = _alone(house, shift, client, key)
        handed = _handed(house, shift, client, key)
        return alone[0], handed[0], alone[1], handed[1]
    finally:
        house.close()
        shift.close()
        client.delete(key)
        client.close()


def _alone(house: House, shift: Shift, client: redis.Redis, key: str) -> tuple[float, float]:
    client.delete(key)
    house.start([sys.executable, "-c", SENDER, str(JOBS)], env=shift.env)
    marks = _marks(client, key, JOBS)
    client.delete(key)
    ran = subprocess.run(
        [sys.executable, "-c", SINGLES, str(SINGLE)],
        env={**os.environ, **shift.env, "OUTLAST_STORE": house.url},
        cwd=house.folder,
        capture_output=True,
        text=True,
        check=True,
    )
    sent = [float(line) for line in ran.stdout.split()]
    return _rate(marks), _latency(sent, _marks(client, key, SINGLE))


def _handed(house: House, shift: Shift, client: redis.Redis, key: str) -> tuple[float, float]:
    client.delete(key)
    house.add_all([shift.row("app:mark") for _ in range(JOBS)])
    marks = _marks(client, key, JOBS)
    client.delete(key)
    sent = []
    for number in range(SINGLE):
        sent.append(time.time())
        shift.add("app:mark")
        _marks(client, key, number + 1)
    return _rate(marks), _latency(sent, _marks(client, key, SINGLE))


def _marks(client: redis.Redis, key: str, count: int) -> list[float]:
    def all_there() -> list[float] | None:
        found = client.lrange(key, 0, -1)
        return [float(each) for each in found] if len(found) >= count else None

    marks = polled(all_there, 60)
    assert marks, f"{client.llen(key)} of {count} came"
    return marks


def _rate(marks: list[float]) -> float:
    return (len(marks) - 1) / (max(marks) - min(marks))


def _latency(sent: list[float], marks: list[float]) -> float:
    return 1000 * statistics.median(mark - at for at, mark in zip(sent, marks, strict=True))


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    for kind in KINDS:
        figures = list(zip(*(measured(kind) for _ in range(rounds)), strict=True))
        told = [f"{statistics.median(each):.4g} ({min(each):.4g} to {max(each):.4g})" for each in figures]
        print(f"| {kind}{', one process' if kind == RQ else ''} | {' | '.join(told)} |", flush=True)


if __name__ == "__main__":
    main()
