"""The door: the outermost of an app's middlewares. Through it the jobs of a request get to the store, or do not.

1. Lay a receipt down for the request.
2. When its response starts, first commit what was added, all or none (P1, P2); then let the first byte out.
3. If the request failed, discard instead, and say so. If the commit is not confirmed, answer 503.
4. Once the request has unwound, let go what was held for it.
"""

from __future__ import annotations

import asyncio
import json
import logging
from typing import TYPE_CHECKING

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from outlast.fastapi.owners import owned
from outlast.fastapi.receipt import KEY, Receipt, current
from outlast.fastapi.routes import Routes
from outlast.fastapi.sessions import look_after
from outlast.fastapi.snapshots import solve_all
from outlast.job import NewJob, described

if TYPE_CHECKING:
    from outlast.fastapi.queue import TaskQueue

_RETRY_AFTER = b"1"
_NOT_CONFIRMED = json.dumps(
    {"detail": "Not confirmed: the background jobs of this request could not be stored. Please try again."}
).encode()
_log = logging.getLogger("outlast.request")


class Refused(Exception):
    """Another answer has been sent in place of the response: what is left of the request shall unwind."""


class Door:
    """The ASGI middleware of a TaskQueue."""

    def __init__(self, app: ASGIApp, queue: TaskQueue) -> None:
        self._app = app
        self._queue = queue
        self._routes = Routes()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._request(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._socket(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _request(self, scope: Scope, receive: Receive, send: Send) -> None:
        receipt = scope[KEY] = Receipt(self._queue, scope)
        passage = Passage(receipt, send, self._routes)
        token = current.set(receipt)
        try:
            await self._app(scope, receive, passage.send)
        except BaseException as error:
            passage.fail(repr(error))
            if not (passage.is_refused and isinstance(error, Exception)):
                raise
        else:
            if receipt.open:
                passage.fail("no response was sent")
            await receipt.finish()
        finally:
            current.reset(token)
            _part(scope, receipt)
            if passage.held:
                self._queue.holds.let_go([job.id for job in passage.held])

    async def _socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Nothing here is a receipt for anything: every job is committed by itself."""
        receipt = scope[KEY] = Receipt(self._queue, scope)
        receipt.open = False

        async def send_when_settled(message: Message) -> None:
            if receipt.late is not None:
                await receipt.late.settled()
            await send(message)

        token = current.set(receipt)
        try:
            await self._app(scope, receive, send_when_settled)
        finally:
            current.reset(token)
            await receipt.finish()
            _part(scope, receipt)


def _part(scope: Scope, receipt: Receipt) -> None:
    """Leave no circles behind: a request's objects are freed at once, and the garbage collector finds nothing."""
    scope.pop(KEY, None)
    receipt.tasks = None
    if receipt.entries:
        look_after(receipt)
    receipt.session = None


class Passage:
    """One request on its way through the door."""

    __slots__ = ("_receipt", "_routes", "_send", "held", "is_refused")

    def __init__(self, receipt: Receipt, send: Send, routes: Routes) -> None:
        self._receipt = receipt
        self._send = send
        self._routes = routes
        self.held: list[NewJob] = []
        self.is_refused = False

    async def send(self, message: Message) -> None:
        """Let a message out; before the response's first byte, commit."""
        receipt = self._receipt
        if receipt.open:
            if message["type"] == "http.response.start":
                receipt.open = False
                if receipt.jobs:
                    await self._decide(message)
                receipt.undecided = False
                receipt.go_on()
        elif self.is_refused:
            return
        elif receipt.late is not None:
            await receipt.late.settled()
        await self._send(message)

    def fail(self, reason: str) -> None:
        """The request ended without a response, or broke while it was being sent."""
        receipt = self._receipt
        if receipt.open:
            receipt.open = False
            receipt.discard(reason)
        if receipt.turn is not None:
            receipt.turn.give_up()

    async def _decide(self, start: Message) -> None:
        receipt = self._receipt
        if receipt.failure is not None:
            receipt.discard(repr(receipt.failure))
            return
        if receipt.unsolved:
            await self._solve()
        queue = receipt.queue
        if queue.owner is not None:
            await self._own()
        is_held = queue.inline is None and self._routes.hold(receipt.scope, start)
        jobs = queue.bind(receipt.take(), queue.holds.holder() if is_held else None)
        receipt.queue_up(jobs)
        carrying = queue.carry(jobs)
        try:
            await (queue.acommit(jobs) if carrying is None else asyncio.shield(carrying))
        except Exception as error:
            await self._refuse(error)
        except BaseException:  # the client is gone; what was handed to the writer is committed all the same
            if is_held:
                queue.holds.settle(jobs, carrying)
            raise
        if is_held:
            self.held = jobs

    async def _solve(self) -> None:
        """Solve what the jobs take from the request. Where it cannot be, FastAPI's answer to that goes out instead."""
        try:
            answer = await solve_all(self._receipt)
        except BaseException as error:
            self._receipt.discard(repr(error))
            raise
        if answer:
            self._receipt.discard(f"what a task takes from it was answered {answer[0]['status']}")
            await self._answer(answer)
            raise Refused("a snapshot could not be solved; the answer to that has been sent")

    async def _own(self) -> None:
        receipt = self._receipt
        try:
            receipt.jobs[receipt.taken :] = await owned(receipt.jobs[receipt.taken :], receipt)
        except BaseException as error:
            receipt.discard(repr(error))
            raise

    async def _refuse(self, error: Exception) -> None:
        """503, then an exception for what is left of the request, so that its own session is not committed either."""
        receipt = self._receipt
        receipt.undecided = False
        told = described(receipt.jobs)
        _log.error("answered 503: not confirmed: %s: %s; request=%s", told, error, receipt.request_id)
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(_NOT_CONFIRMED)).encode()),
            (b"retry-after", _RETRY_AFTER),
        ]
        start = {"type": "http.response.start", "status": 503, "headers": headers}
        await self._answer([start, {"type": "http.response.body", "body": _NOT_CONFIRMED}])
        raise Refused("the jobs of this request were not confirmed; 503 has been sent") from error

    async def _answer(self, messages: list[Message]) -> None:
        """In place of the response, of which nothing more is let out."""
        self.is_refused = True
        for message in messages:
            await self._send(message)
