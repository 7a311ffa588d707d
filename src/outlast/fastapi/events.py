"""What happens to a job, as server-sent events: its state, its progress, the lines that it logs.

Each event bears an id that says, in facts of the store, what the client has seen until then. So a client that comes
back with `Last-Event-ID`, to another process or after a restart, goes on where it was. The end of the job ends the
stream, and who comes back after that is answered 204, which tells a browser to stay away.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterable, AsyncIterator, Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from fastapi import APIRouter, Depends, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from outlast.clock import to_micros
from outlast.errors import JobNotFound
from outlast.fastapi.answers import Tell, line_of, progress_of, told
from outlast.store import Glimpse

try:
    from fastapi.sse import EventSourceResponse, ServerSentEvent
except ImportError:  # FastAPI before 0.135
    HAS_SSE = False
else:
    HAS_SSE = True

if TYPE_CHECKING:
    from outlast.fastapi.queue import TaskQueue

RETRY = 1000
"""Milliseconds until a client comes back that has lost us."""
_PING = 15.0
_SEEN = re.compile(r"([a-z]{0,12})\.(\d+)\.(\d+)\.(\d+)\.(\d+)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Seen:
    """What a client has seen of a job."""

    view: str = ""
    attempt: int = 0
    progress_at: int = 0
    """When the job said how far it is (µs), of what was seen."""
    line: tuple[int, int] = (0, 0)
    """Attempt and number of the last line."""

    @classmethod
    def read(cls, text: str | None) -> Seen:
        """From `Last-Event-ID`. Whatever is none of ours has seen nothing."""
        found = _SEEN.fullmatch(text or "")
        if found is None or any(len(number) > 18 for number in found.groups()[1:]):
            return cls()
        view, *numbers = found.groups()
        attempt, progress_at, of, number = map(int, numbers)
        return cls(view, attempt, progress_at, (of, number))

    def __str__(self) -> str:
        return f"{self.view}.{self.attempt}.{self.progress_at}.{self.line[0]}.{self.line[1]}"

    def is_all_of(self, glimpse: Glimpse) -> bool:
        """Whether nothing is left to tell."""
        return not (self.misses_lines(glimpse) or self.misses_progress(glimpse) or self.misses_state(glimpse))

    def misses_lines(self, glimpse: Glimpse) -> bool:
        return glimpse.last_line is not None and glimpse.last_line > self.line

    def misses_progress(self, glimpse: Glimpse) -> bool:
        return glimpse.progress is not None and to_micros(glimpse.progress.at) != self.progress_at

    def misses_state(self, glimpse: Glimpse) -> bool:
        return (glimpse.view, glimpse.attempt) != (self.view, self.attempt)


class Event(NamedTuple):
    """One event on its way to a client."""

    event: str
    data: BaseModel
    id: Seen
    retry: int | None = None


async def follow(queue: TaskQueue, job_id: str, seen: Seen, tell: Tell) -> AsyncIterator[Event]:
    """What a client has not seen, and then what happens, until the job has ended or the server is stopped."""
    retry: int | None = RETRY
    with queue.watch.on(job_id) as eye:
        while True:
            glimpse = await eye.news()
            if eye.is_closed or glimpse is None:
                return
            async for event in _unseen(queue, glimpse, seen, tell):
                seen = event.id
                yield event._replace(retry=retry)
                retry = None
            if glimpse.state.ended:
                return


async def _unseen(queue: TaskQueue, glimpse: Glimpse, seen: Seen, tell: Tell) -> AsyncIterator[Event]:
    """The state comes first; but the end last, since a client goes when it sees it."""
    parts = [_unseen_state, _unseen_lines, _unseen_progress]
    for part in reversed(parts) if glimpse.state.ended else parts:
        async for event in part(queue, glimpse, seen, tell):
            seen = event.id
            yield event


async def _unseen_state(queue: TaskQueue, glimpse: Glimpse, seen: Seen, tell: Tell) -> AsyncIterator[Event]:
    if not seen.misses_state(glimpse):
        return
    try:
        record = await queue.job(glimpse.id).arecord()
    except JobNotFound:  # pruned in this moment
        return
    if record.state.ended == glimpse.state.ended:  # an end that came meanwhile is told in its turn
        seen = replace(seen, view=glimpse.view, attempt=glimpse.attempt)
        yield Event("state", await told(queue, record, tell), seen)


async def _unseen_lines(queue: TaskQueue, glimpse: Glimpse, seen: Seen, _: Tell) -> AsyncIterator[Event]:
    if seen.misses_lines(glimpse):
        lines = await queue.aask(lambda store: store.log(glimpse.id, after=seen.line))
        for line in lines:
            yield Event("log", line_of(line), replace(seen, line=(line.attempt, line.number)))


async def _unseen_progress(queue: TaskQueue, glimpse: Glimpse, seen: Seen, _: Tell) -> AsyncIterator[Event]:
    if glimpse.progress is not None and seen.misses_progress(glimpse):
        seen = replace(seen, progress_at=to_micros(glimpse.progress.at))
        yield Event("progress", progress_of(glimpse.progress), seen)


# ---- how they are sent -----------------------------------------------------------------------------------------------


def add_events(
    router: APIRouter,
    path: str,
    name: str,
    opened: Callable[..., Any],
    responses: dict[int | str, dict[str, Any]],
) -> None:
    """A route that sends the events which the dependency `opened` opens."""
    if HAS_SSE:

        @router.get(path, name=name, response_class=EventSourceResponse, responses=responses)
        async def watch_job(events: Any = Depends(opened)) -> AsyncIterable[ServerSentEvent]:
            """What happens to the job, as it happens: events `state`, `progress` and `log`, until it has ended."""
            async for event in events:
                data = event.data.model_dump_json()
                yield ServerSentEvent(raw_data=data, event=event.event, id=str(event.id), retry=event.retry)

    else:

        @router.get(path, name=name, response_class=_Stream, responses=responses)
        async def stream_job(events: Any = Depends(opened)) -> Response:
            """What happens to the job, as it happens: events `state`, `progress` and `log`, until it has ended."""
            headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
            return _Stream(_wired(events), headers=headers)


class _Stream(StreamingResponse):
    media_type = "text/event-stream"


async def _wired(events: AsyncIterator[Event]) -> AsyncIterator[str]:
    """As the protocol has them, with a comment now and then that says that we are still there."""
    coming = asyncio.ensure_future(anext(events, None))
    try:
        while True:
            done, _ = await asyncio.wait([coming], timeout=_PING)
            if not done:
                yield ": ping\n\n"
                continue
            event = coming.result()
            if event is None:
                return
            retry = "" if event.retry is None else f"retry: {event.retry}\n"
            yield f"event: {event.event}\ndata: {event.data.model_dump_json()}\nid: {event.id}\n{retry}\n"
            coming = asyncio.ensure_future(anext(events, None))
    finally:
        coming.cancel()
