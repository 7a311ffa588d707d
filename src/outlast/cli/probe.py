"""Imports an app in a process of its own and says what `outlast check` wants to know of it.

`python -m outlast.cli.probe FD`: the question comes as JSON on standard input, the answer goes as JSON to the
descriptor; what the app prints while it is imported stays out of both.
"""

from __future__ import annotations

import json
import logging
import sys
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from outlast.errors import OutlastError, StoreError
from outlast.target import Target
from outlast.worker.describe import ask

if TYPE_CHECKING:
    from outlast.queue import TaskQueue


@dataclass(frozen=True, slots=True, kw_only=True)
class AppFacts:
    """What an app says of itself once it is imported."""

    url: str
    worker: str
    fastapi: str
    by_stacks: bool
    """Which seam tells of a request's failure: FastAPI's exit stacks, or the public form."""
    plain: list[str]
    """Parameters that still take FastAPI's own BackgroundTasks, each in a sentence."""
    unknown: dict[str, tuple[int, str]]
    """Tasks of queued jobs that this code does not have: how many jobs, and why not."""


def probe(target: Target, store: str | None = None) -> AppFacts:
    """The facts of the app that `target` leads to, on its own store or this one. Raises AppNotFound."""
    return AppFacts(**ask(target, "outlast.cli.probe", store=store))


def main(descriptor: int) -> None:
    from outlast import role
    from outlast.worker.app import find_queue

    role.enter_worker()
    try:
        told = asdict(_facts(find_queue(Target.from_message(json.load(sys.stdin)))))
    except OutlastError as error:
        told = {"error": str(error)}
    with open(descriptor, "w") as out:
        json.dump(told, out)


def _facts(queue: TaskQueue) -> AppFacts:
    import fastapi

    from outlast.fastapi import seam

    return AppFacts(
        url=queue.url,
        worker=queue.worker,
        fastapi=fastapi.__version__,
        by_stacks=seam.has_stacks(),
        plain=[] if queue.app is None else _plain(queue.app),
        unknown=_unknown(queue.url),
    )


def _plain(app: Any) -> list[str]:
    """What the audit warns of when the server starts."""
    from outlast.fastapi.audit import audit

    told = _Told()
    log = logging.getLogger("outlast.request")
    log.addHandler(told)
    log.propagate = False
    audit(app.routes)
    return told.lines


class _Told(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


def _unknown(url: str) -> dict[str, tuple[int, str]]:
    from outlast import names

    found = {}
    for task, count in _queued_tasks(url).items():
        try:
            names.resolve(task)
        except Exception as error:
            found[task] = (count, str(error))
    return found


def _queued_tasks(url: str) -> dict[str, int]:
    """What is wrong with the store, if anything, is told by whoever opens it outside."""
    from outlast.store import open_store

    try:
        store = open_store(url, create=False)
        try:
            return store.queued_tasks()
        finally:
            store.close()
    except StoreError:
        return {}


if __name__ == "__main__":
    main(int(sys.argv[1]))
