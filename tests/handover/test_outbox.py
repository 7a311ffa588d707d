"""One outbox: with the broker down, requests are answered as ever; when it is back, everything is delivered, in order.

A real server with its own supervisor and relay, a real worker, and a Redis that is killed with all that it has.
"""

import asyncio
import statistics
import time
from collections import Counter

import pytest

from outlast.job import State
from tests.brokers import RedisServer
from tests.handover.conftest import opened
from tests.handover.engines import CELERY_ON_REDIS, DRAMATIQ_ON_REDIS, RQ, Shift
from tests.polling import polled
from tests.stores import sqlite

APP = """
from outlast import BackgroundTasks

@queue.task(queue=os.environ["QUEUE"])
def first(number):
    note("first", number=number)


@queue.task(queue=os.environ["QUEUE"])
def second(number):
    note("second", number=number)


@fastapi_app.post("/add/{number}")
async def add(number: int, background_tasks: BackgroundTasks):
    background_tasks.add_task(first, number)
    if number % 10 == 0:
        background_tasks.add_task(second, number)
    return number
"""
PAIRS = 10


@pytest.fixture(
    params=[(DRAMATIQ_ON_REDIS, 10_000), (CELERY_ON_REDIS, 400), (RQ, 400)],
    ids=lambda each: f"{each[0]}-{each[1]}",
)
def outbox(request, tmp_path):
    """A shift with its own Redis, and how many requests it is to have."""
    kind, requests = request.param
    broker = RedisServer()
    broker.start()
    try:
        with opened(kind, sqlite, tmp_path, url=broker.url, app=APP) as shift:
            yield shift, broker, requests
    finally:
        broker.kill()


@pytest.mark.timeout(300)
def test_requests_do_not_notice_that_the_broker_is_down_and_every_job_arrives(outbox):
    """P1, P3, P7. Half of all requests find the broker killed, and what it had is lost."""
    shift, broker, requests = outbox
    house = shift.house
    port = shift.serve()
    server = house.processes[-1]
    workers = [shift.worker()]
    house.until(lambda: _answers(port), "the server to answer")
    quarter = requests // 4

    up = asyncio.run(post(port, range(quarter)))
    broker.kill()
    down = asyncio.run(post(port, range(quarter, 3 * quarter)))
    broker.start()
    again = asyncio.run(post(port, range(3 * quarter, requests)))

    assert len(up) + len(down) + len(again) == requests  # each was answered 200
    print(
        f"median with the broker {1000 * statistics.median(up):.1f} ms, without {1000 * statistics.median(down):.1f} ms"
    )
    assert statistics.median(down) < 3 * statistics.median(up) + 0.01
    jobs = requests + requests // PAIRS

    def is_done() -> bool:
        if not workers[-1].is_alive:  # RQ's command ends with its Redis: whoever starts it starts it again
            workers.append(shift.worker())
        return house.store.counts()["succeeded"] == jobs

    assert polled(is_done, 200), (
        house.store.counts(),
        house.logs()[-5000:],
    )
    _each_ran_once_and_in_order(shift, requests)
    assert server.pid not in {note.pid for note in house.diary("first")}  # P8


def _each_ran_once_and_in_order(shift: Shift, requests: int) -> None:
    notes = [note for note in shift.house.diary() if note.event in ("first", "second")]
    ran = Counter((note.event, note.more["number"]) for note in notes)
    assert set(ran.values()) == {1}
    assert len(ran) == requests + requests // PAIRS
    at = {(note.event, note.more["number"]): note.at for note in notes}
    assert all(at["first", number] < at["second", number] for number in range(0, requests, PAIRS))
    assert {record.state for record in shift.house.store.find(limit=100)} == {State.SUCCEEDED}


def _answers(port: int) -> bool:
    try:
        return len(asyncio.run(post(port, []))) == 0
    except OSError:
        return False


async def post(port: int, numbers) -> list[float]:
    """One request for each number over eight connections; how long each took. All are answered 200."""
    left, took = list(numbers), []

    async def serve() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while left:
            began = time.perf_counter()
            writer.write(b"POST /add/%d HTTP/1.1\r\nHost: here\r\nContent-Length: 0\r\n\r\n" % left.pop(0))
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200"), head
            (length,) = [
                int(line[16:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length: ")
            ]
            await reader.readexactly(length)
            took.append(time.perf_counter() - began)
        writer.close()
        await writer.wait_closed()

    await asyncio.gather(*(serve() for _ in range(8)))
    return took
