"""The director's own book: what was accepted, by the server's 2xx answers alone, and what came of it.

It believes no state by itself: an accepted request is done when its job says so *and* its effect lies on the disk.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx

from examples.demo.trouble import ActFailed, NoAnswer

Missing = Callable[["Entry"], str | None]
"""Looks at the disk: what is missing of an entry's effect, or None when all of it is there."""
Twice = Callable[["Entry"], bool]
"""Whether the work of an entry was begun again without being asked to."""
ENDED = ("succeeded", "failed", "cancelled")


@dataclass(slots=True)
class Entry:
    """One request that was answered with 2xx."""

    act: str
    request: str
    status: int
    seconds: float
    """From sending it to its answer."""
    job: str | None
    """Where its job tells its state, if the answer named it."""
    answer: dict[str, Any]
    missing: Missing
    ran_twice: Twice
    told: dict[str, Any] = field(default_factory=dict)
    """What its job told last."""

    @property
    def state(self) -> str:
        """The job's word; for a request that named no job, what the disk says."""
        if self.job is None:
            return "done" if self.missing(self) is None else "accepted"
        return str(self.told.get("state", "accepted"))

    @property
    def attempt(self) -> int:
        return int(self.told.get("attempt") or 0)

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come of it."""
        return self.state in (*ENDED, "done", "unknown")

    @property
    def is_done(self) -> bool:
        """Whether what was promised is there: the job's word, and the disk's."""
        return self.state in ("succeeded", "done") and self.missing(self) is None

    def cells(self) -> tuple[str, ...]:
        """It as a row of the screen."""
        receipt = f"{self.status} in {self.seconds * 1000:.0f} ms"
        return self.request, receipt, self._view(), str(self.attempt or ""), self._took()

    def _view(self) -> str:
        view = str(self.told.get("view") or self.state)
        if view != "retrying":
            return view
        ahead = (datetime.fromisoformat(self.told["run_at"]) - datetime.now(UTC)).total_seconds()
        return f"retrying in {max(ahead, 0):.1f} s"

    def _took(self) -> str:
        began, ended = self.told.get("started_at"), self.told.get("finished_at")
        if not began or not ended:
            return ""
        seconds = (datetime.fromisoformat(ended) - datetime.fromisoformat(began)).total_seconds()
        return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


class Ledger:
    """Sends the requests of the demo and keeps what was accepted."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.entries: list[Entry] = []
        self._client = client

    def of(self, act: str) -> list[Entry]:
        return [entry for entry in self.entries if entry.act == act]

    async def post(
        self,
        act: str,
        path: str,
        missing: Missing,
        ran_twice: Twice = lambda entry: entry.attempt > 1,
        **request: Any,
    ) -> Entry:
        """Send one request. Raises NoAnswer, and ActFailed for an answer that is no acceptance."""
        began = time.perf_counter()
        try:
            answer = await self._client.post(path, **request)
        except httpx.TransportError as error:
            raise NoAnswer(f"POST {path}: {error!r}") from error
        seconds = time.perf_counter() - began
        if not answer.is_success:
            raise ActFailed(f"POST {path} was answered with {answer.status_code}: {answer.text[:200]}")
        job = answer.headers.get("Location")
        receipt = (answer.status_code, seconds, job, answer.json())
        entry = Entry(act, f"POST {path}", *receipt, missing, ran_twice)
        self.entries.append(entry)
        return entry

    async def get(self, path: str) -> httpx.Response:
        """Fetch a page. Raises NoAnswer."""
        try:
            return await self._client.get(path)
        except httpx.TransportError as error:
            raise NoAnswer(f"GET {path}: {error!r}") from error

    async def ask(self, entries: Iterable[Entry]) -> None:
        """Ask the jobs of some entries for their state. One that the server does not know is `unknown`."""
        for entry in entries:
            if entry.job is None:
                continue
            answer = await self.get(entry.job)
            entry.told = answer.json() if answer.is_success else {"state": "unknown"}

    async def follow(self, entries: list[Entry], seen: Callable[[], None], *, seconds: float = 20) -> None:
        """Ask until nothing more will come of any of them. Raises ActFailed when that takes too long."""

        async def over() -> bool:
            await self.ask(entry for entry in entries if not entry.is_over)
            return all(entry.is_over for entry in entries)

        await until(over, seen, seconds=seconds, what="the jobs to end")


async def until(
    is_so: Callable[[], Awaitable[bool] | bool],
    seen: Callable[[], None],
    *,
    seconds: float,
    what: str,
    every: float = 0.05,
) -> None:
    """Look again and again, and show each look, until it is so. Raises ActFailed after that many seconds."""
    deadline = time.monotonic() + seconds
    while True:
        look = is_so()
        is_there = look if isinstance(look, bool) else await look
        seen()
        if is_there:
            return
        if time.monotonic() > deadline:
            raise ActFailed(f"waited {seconds:g} s for {what}, in vain")
        await asyncio.sleep(every)
