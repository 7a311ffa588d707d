"""(h) The dashboard beside a million jobs: what each of its pages costs the server, and one that is left open.

On SQLite, and on the database that OUTLAST_BENCH_POSTGRES names.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from typing import Any

from fastapi import FastAPI
from starlette.routing import Mount

from bench.parts.claims import connected, schema
from bench.report import Table
from bench.setting import Setting
from bench.spread import Spread
from outlast import TaskQueue
from outlast.address import is_postgres
from outlast.clock import span
from outlast.statistics import MINUTE, Count, count_end, count_start, nothing
from outlast.store import Store, open_store

PAGES = {
    "Overview, opened": "/",
    "Overview, one look more": "/?live",
    "Overview, a day": "/?period=day",
    "Jobs, newest": "/jobs",
    "Jobs, failed": "/jobs?state=failed",
    "Jobs, the middle of all": "/jobs?before={middle}",
    "Jobs, by task": "/jobs?task=shop:task7",
    "Jobs, by a text that none has": "/jobs?text=nowhere",
    "One job": "/jobs/{middle}",
    "Tasks": "/tasks",
    "Failures": "/failures",
}
_OPEN = "Left open, % of a core"
_TASKS = 20
_AGO = span(timedelta(hours=24))
_ROW = """
    'f' || substr('0000000' || number, -7) || '-0000-7000-8000-000000000000', 'shop:task' || (number % 20),
    'queue' || (number % 4), 0, '{{"to":"customer' || number || '@example.com","order":' || number || '}}',
    {now} - {ago} + number, {now} - {ago} + number, 5, 0, 0,
    CASE WHEN number % 400 = 0 THEN 'failed' ELSE 'succeeded' END, 0, 1,
    {now} - {ago} + number, {now} - {ago} + number + (number % 977) * 1000,
    CASE WHEN number % 400 = 0 THEN 'error' END,
    CASE WHEN number % 400 = 0 THEN 'ValueError: no order ' || number END
"""
_INSERT = """
INSERT INTO jobs (id, task, queue, priority, luggage, created_at, run_at, max_attempts, at_most_once, waiting, state,
                  ready, attempt, started_at, finished_at, reason, error)
"""
_NUMBERS = {
    False: "WITH RECURSIVE n (number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM n WHERE number < {count})",
    True: "WITH n (number) AS (SELECT generate_series(1, {count}))",
}


def measure(setting: Setting) -> list[Table]:
    count = setting.pick(1_000_000, 20_000)
    table = Table("(h) The dashboard beside many jobs", ["", "SQLite, ms", "PostgreSQL, ms", "goal"])
    sqlite = _sqlite(setting, count)
    with schema("bench_dashboard") as url:
        postgres = _measured(setting, url, count)
    for name in PAGES:
        table.add(
            name, sqlite[name].told(1), postgres[name].told(1), "under 50" if "Overview" in name else ""
        )
    table.add(_OPEN, sqlite[_OPEN].told(2), postgres[_OPEN].told(2), "under 2")
    table.notes.append(
        f"{count:,} finished jobs, one in 400 failed; {_TASKS} tasks that ran in each minute of the last day. "
        "A request straight to the app in this process, with all of its work, and nothing remembered from before."
    )
    return [table]


def _sqlite(setting: Setting, count: int) -> dict[str, Spread]:
    return _measured(setting, f"sqlite:///{setting.folder / 'dashboard.db'}", count)


def _measured(setting: Setting, url: str, count: int) -> dict[str, Spread]:
    with closing(open_store(url)) as store:
        _fill(store, url, count)
        middle = store.find(limit=1)[0].id.replace(f"{count:07}", f"{count // 2:07}", 1)
        store.get(middle)
    found = asyncio.run(_ask_all(setting, url, middle))
    for name, spread in found.items():
        setting.say(f"{url.partition(':')[0]}, {name}: {spread.told(2)}")
    return found


def _fill(store: Store, url: str, count: int) -> None:
    now = store.clock.now()
    numbers = _NUMBERS[is_postgres(url)].format(count=count)
    row = _ROW.format(now=now, ago=_AGO)
    if is_postgres(url):
        row = row.replace("substr('0000000' || number, -7)", "lpad(number::text, 7, '0')")
    with _connected(url) as execute:
        execute(f"{_INSERT} {numbers} SELECT {row} FROM n")
        execute("VACUUM ANALYZE jobs" if is_postgres(url) else "ANALYZE")
    minutes = range(now - _AGO - now % MINUTE, now, MINUTE)
    store.count(
        [
            Count(minute, f"shop:task{task}", "queue0", _counted())
            for minute in minutes
            for task in range(_TASKS)
        ]
    )


def _counted() -> list[int]:
    numbers = nothing()
    for late in (1_000, 20_000, 300_000):
        count_start(numbers, late)
        count_end(numbers, 1, late * 2)
    return numbers


@contextmanager
def _connected(url: str) -> Iterator[Callable[[str], Any]]:
    if is_postgres(url):
        with connected(url) as connection:
            yield connection.execute
        return
    import sqlite3

    with closing(sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)) as connection:
        yield connection.execute


async def _ask_all(setting: Setting, url: str, middle: str) -> dict[str, Spread]:
    app = FastAPI()
    queue = TaskQueue(app, store=url, worker="external")
    app.mount("/outlast", queue.dashboard())
    found = {}
    for name, path in PAGES.items():
        times = [await _timed(queue, path.format(middle=middle)) for _ in range(setting.pick(20, 3))]
        found[name] = Spread.of([seconds * 1e3 for seconds in times[1:]])
    found[_OPEN] = await _left_open(app, setting.pick(20, 2))
    queue.close()
    return found


async def _timed(queue: Any, path: str) -> float:
    """With a dashboard of its own, which remembers nothing."""
    site = Mount("/outlast", queue.dashboard())
    await _get(site, "/static/icon.svg")
    began = time.perf_counter()
    await _get(site, path)
    return time.perf_counter() - began


async def _left_open(app: Any, seconds: float) -> Spread:
    """One browser that looks every two seconds, as the page does."""
    began, used = time.monotonic(), time.process_time()
    while time.monotonic() - began < seconds:
        await _get(app, "/?live")
        await asyncio.sleep(2)
    return Spread.of([100 * (time.process_time() - used) / (time.monotonic() - began)])


async def _get(app: Any, path: str) -> bytes:
    body = b""

    async def send(message: dict[str, Any]) -> None:
        nonlocal body
        if message["type"] == "http.response.start" and message["status"] != 200:
            raise RuntimeError(f"{path} was answered {message['status']}")
        body += message.get("body", b"")

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    path, _, query = path.partition("?")
    headers = [(b"host", b"localhost")] + [(b"hx-request", b"true")] * (query == "live")
    await app(
        {
            "type": "http",
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "root_path": "",
            "path": f"/outlast{path}",
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "headers": headers,
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
        },
        receive,
        send,
    )
    return body
