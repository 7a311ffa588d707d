"""Enqueues into a task queue that keeps its jobs in PostgreSQL, the same for each; called in its environment.

    python -m peers.on_postgres MODULE install                     make its tables
    python -m peers.on_postgres MODULE bulk TASK COUNT BATCH       COUNT jobs, BATCH a call; prints the seconds
    python -m peers.on_postgres MODULE single TASK COUNT CALLERS   one by one, from CALLERS tasks at once; the same
    python -m peers.on_postgres MODULE latency COUNT SECONDS       one each so many seconds, telling when it was called

MODULE, one of this package, has `install()`, `opened()`, `enqueue(task, **arguments)` and `enqueue_many(task, count)`.
Every call has returned once its jobs are committed. `BENCH_DATABASE` is the URL of the database.
"""

from __future__ import annotations

import asyncio
import importlib
import sys
import time
from typing import Any

import uvloop

from bench import marks


async def main() -> None:
    name, verb, *words = sys.argv[1:]
    module = importlib.import_module(f"peers.{name}")
    if verb == "install":
        await module.install()
        return
    async with module.opened():
        await _VERBS[verb](module, *words)


async def _bulk(module: Any, task: str, count: str, batch: str) -> None:
    await module.enqueue_many(task, 1)  # connections are open, statements prepared
    began = time.perf_counter()
    for _ in range(int(count) // int(batch)):
        await module.enqueue_many(task, int(batch))
    sys.stdout.write(str(time.perf_counter() - began))


async def _single(module: Any, task: str, count: str, callers: str) -> None:
    await asyncio.gather(*(module.enqueue(task) for _ in range(int(callers))))
    began = time.perf_counter()
    await asyncio.gather(
        *(_one_by_one(module, task, int(count) // int(callers)) for _ in range(int(callers)))
    )
    sys.stdout.write(str(time.perf_counter() - began))


async def _one_by_one(module: Any, task: str, count: int) -> None:
    for _ in range(count):
        await module.enqueue(task)


async def _latency(module: Any, count: str, seconds: str) -> None:
    for _ in range(int(count)):
        await asyncio.sleep(float(seconds))
        await module.enqueue("tell_latency", began=marks.now())


_VERBS = {"bulk": _bulk, "single": _single, "latency": _latency}


if __name__ == "__main__":
    uvloop.run(main())
