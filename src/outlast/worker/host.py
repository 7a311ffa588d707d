"""A server's side of its worker: starts the supervisor when nobody has, and takes over when the one there is gone.

1. If no supervisor on this machine serves every queue of the store (has the duty), start one. Another server may do the
   same at the same moment: the lock of the duty decides, and the loser ends without a word.
2. While somebody has it, hold a connection to whoever listens. When that ends, or the lock is free, begin again at 1.
3. A supervisor that will not stay up is started again after a pause that grows.

The supervisor has a pipe from this process: when the pipe closes, however this process died, it drains and leaves.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import subprocess
import sys
import threading
from contextlib import suppress

from outlast.clock import steady
from outlast.errors import OutlastError
from outlast.premises import Premises
from outlast.worker.settings import DUTY_TAKEN, Settings

_LONGEST_PAUSE = 30.0
_LONG_ENOUGH = 10.0
"""Seconds after which a supervisor counts as having stayed up."""
_LOOK_AGAIN = 0.5
"""Seconds between looks at the lock of a duty that somebody has."""
_LAST_WISH = 3.0
"""Seconds a supervisor has beyond its grace to end its children."""
_log = logging.getLogger("outlast.worker")


class Host:
    """Keeps a supervisor beside this server process, from `start` to `astop`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._premises = Premises(settings.url)
        self._code: asyncio.Future[int] | None = None
        self._pipe: int | None = None
        self._pause = 0.0
        self._minding: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to mind the duty, in the running loop. Does nothing when already begun."""
        if self._minding is None or self._minding.get_loop() is not asyncio.get_running_loop():
            self._minding = asyncio.get_running_loop().create_task(self._mind())

    async def astop(self) -> None:
        """Let our supervisor drain and leave; returns when it has, within its grace."""
        if self._minding is not None:
            self._minding.cancel()
            with suppress(asyncio.CancelledError):
                await self._minding
            self._minding = None
        self._close_pipe()
        if self._code is not None:
            await asyncio.wait([self._code], timeout=self._settings.grace.total_seconds() + _LAST_WISH)

    async def _mind(self) -> None:
        """Whatever goes wrong is told and tried again: no server is left without a worker and without a word."""
        while True:
            try:
                if self._premises.duty_is_free():
                    await self._keep_one()
                else:
                    await self._until_gone()
            except (OSError, OutlastError) as error:
                self._close_pipe()
                await self._wait("the worker cannot be started: %s; trying again %s", error)

    async def _keep_one(self) -> None:
        """Start a supervisor, and return when it has ended."""
        began = steady()
        self._code = self._begin()
        code = await asyncio.shield(self._code)
        self._close_pipe()
        if code == DUTY_TAKEN:
            return
        if steady() - began > _LONG_ENOUGH:
            self._pause = 0.0
        await self._wait("the worker ended with exit code %d; starting it again %s", code)

    async def _wait(self, told: str, what: object) -> None:
        _log.error(told, what, f"in {self._pause:g} s" if self._pause else "at once")
        pause, self._pause = self._pause, min(_LONGEST_PAUSE, max(_LOOK_AGAIN, self._pause * 2))
        await asyncio.sleep(pause)

    def _begin(self) -> asyncio.Future[int]:
        """Start the supervisor in a session of its own, out of reach of Ctrl-C. Its exit code to come."""
        theirs, self._pipe = os.pipe()
        try:
            os.write(self._pipe, json.dumps(self._settings.to_message()).encode() + b"\n")
            command = [sys.executable, "-P", "-m", "outlast.worker", "supervise", str(theirs)]
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, pass_fds=[theirs], start_new_session=True
            )
        finally:
            os.close(theirs)
        loop = asyncio.get_running_loop()
        code: asyncio.Future[int] = loop.create_future()
        threading.Thread(
            target=_await_end, args=(process, loop, code), name="outlast-host", daemon=True
        ).start()
        return code

    async def _until_gone(self) -> None:
        """Until the one on duty is gone. Most often it listens, too, and is seen at once; else its lock is asked."""
        try:
            reader, writer = await asyncio.open_unix_connection(self._premises.socket)
        except OSError:
            await asyncio.sleep(_LOOK_AGAIN)
            return
        gone = asyncio.ensure_future(reader.read())
        try:
            while not gone.done() and not self._premises.duty_is_free():
                await asyncio.wait([gone], timeout=_LOOK_AGAIN)
        finally:
            gone.cancel()
            await asyncio.gather(gone, return_exceptions=True)
            writer.close()

    def _close_pipe(self) -> None:
        if self._pipe is not None:
            os.close(self._pipe)
            self._pipe = None


def _await_end(
    process: subprocess.Popen[bytes], loop: asyncio.AbstractEventLoop, code: asyncio.Future[int]
) -> None:
    """A thread waits, so that nothing polls; a daemon, so that it does not keep the server from ending."""
    process.wait()
    with suppress(RuntimeError):  # the loop has ended
        loop.call_soon_threadsafe(code.set_result, process.returncode)
