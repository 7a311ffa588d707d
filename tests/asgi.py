"""A client that talks ASGI itself, so that a test sees what was in the store at the moment each message was sent."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

from outlast import TaskQueue
from outlast.job import JobRecord
from tests.stores import locked


@dataclass
class Exchange:
    """What an app sent, and which jobs the store had when it sent it."""

    queue: TaskQueue
    messages: list[dict[str, Any]] = field(default_factory=list)
    jobs: list[list[JobRecord]] = field(default_factory=list)
    error: BaseException | None = None

    @property
    def status(self) -> int | None:
        return next((message["status"] for message in self.messages if "status" in message), None)

    @property
    def headers(self) -> dict[str, str]:
        start = next(message for message in self.messages if "status" in message)
        return {name.decode(): value.decode() for name, value in start["headers"]}

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.messages)

    def at(self, kind: str) -> list[str]:
        """The tasks in the store when the first message of a kind was sent."""
        number = next(n for n, message in enumerate(self.messages) if message["type"] == kind)
        return names(self.jobs[number])


async def call(
    app: Any, queue: TaskQueue, path: str, *, method: str = "GET", receive: Any = None, kind: str = "http"
) -> Exchange:
    """One request. What the app raises is kept in the exchange."""
    exchange = Exchange(queue)

    over = asyncio.Event()
    incoming = iter([{"type": "http.request", "body": b"", "more_body": False}])

    async def nothing_more() -> dict[str, Any]:
        for message in incoming:
            return message
        await over.wait()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        exchange.messages.append(message)
        exchange.jobs.append(jobs(queue))
        if message["type"] == "http.response.body" and not message.get("more_body"):
            over.set()

    try:
        await app(_scope(path, method, kind), receive or nothing_more, send)
    except Exception as error:
        exchange.error = error
    return exchange


async def get(app: Any, send: Any) -> None:
    """One request to `/`, each message of whose answer goes to `send`. What the app raises is raised here."""

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    await app(_scope("/", "GET", "http"), receive, send)


async def get_and_leave(app: Any, queue: TaskQueue) -> asyncio.Task[Exchange]:
    """A request to `/` whose client goes away while its commit waits for the store, which somebody else holds."""
    queue.tell(lambda store: store.counts())
    with locked(queue.url):
        request = asyncio.create_task(call(app, queue, "/"))
        await asyncio.sleep(0)  # nothing before the commit waits
        request.cancel()
        await asyncio.wait([request])
    return request


def _scope(path: str, method: str, kind: str) -> dict[str, Any]:
    return {
        "type": kind,
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [(b"host", b"test")],
        "client": ("client", 1),
        "server": ("server", 80),
    }


def jobs(queue: TaskQueue) -> list[JobRecord]:
    """Every job in the store, in the order they were written."""
    return queue.ask(lambda store: store.find(limit=1000))[::-1]


def names(records: list[JobRecord]) -> list[str]:
    """The functions of jobs, without their module."""
    return [record.task.partition(":")[2] for record in records]


def tasks(queue: TaskQueue) -> list[str]:
    """The functions of every job in the store."""
    return names(jobs(queue))
