"""A child: the process that imports the app and runs its tasks. It knows no store.

1. It takes its lock, imports the app, enters its lifespan, and says `ready`.
2. A reader thread takes jobs from the supervisor: `async def` tasks go to the loop, `def` tasks to threads. So a task
   that blocks the loop hinders neither its `def` neighbours nor what the supervisor has to say.
3. Outcomes go back from wherever a task ended, those of one round of the loop as one message.
4. When the supervisor is gone its end of the socket closes, and the child ends at once: nobody would hear its outcomes,
   and another supervisor waits for its lock.
"""

from __future__ import annotations

import asyncio
import faulthandler
import gc
import inspect
import os
import signal
import socket
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import copy_context
from functools import partial
from io import TextIOWrapper
from itertools import takewhile
from pathlib import Path
from typing import Any, NoReturn

from outlast import locks, role, wire
from outlast.clock import SystemClock
from outlast.errors import AppNotFound, TaskUnknown
from outlast.job import Claimed, Outcome
from outlast.queue import TaskQueue
from outlast.target import Target
from outlast.worker import executor, log_lines, log_records, sweeps
from outlast.worker.app import find_queue, lifespan_of
from outlast.worker.outcomes import to_message
from outlast.worker.telling import Teller
from outlast.worker.threads import Threads

_CHUNK = 1 << 16  # with more, the C library maps and unmaps memory for each message


def main(descriptor: int) -> None:
    """Serve the supervisor at the other end of a socket until it says `quit` or goes away."""
    begin(descriptor, _serve)


def _serve(channel: Channel, orders: dict[str, Any], queue: TaskQueue) -> None:
    queue.teller = Teller(partial(channel.send, "told"), SystemClock())
    log_lines.install(queue.capture)
    run(Child(channel, orders["slots"], queue, orders["url"]).serve())


def begin(descriptor: int, work: Callable[[Channel, dict[str, Any], TaskQueue], object]) -> None:
    """What every child of a supervisor does first: take its lock, import the app. Then its own work."""
    role.enter_worker()
    _tell_crashes()
    _tell_lines()
    log_records.install()
    _ignore_signals()
    channel = Channel(socket.socket(fileno=descriptor))
    verb, orders = channel.receive()
    assert verb == "orders", verb
    locks.acquire(Path(orders["lock"]))
    try:
        work(channel, orders, _imported(Target.from_message(orders["target"]), orders["url"]))
    except BaseException as error:
        channel.send("unready", _why(error))
        raise SystemExit(1) from None


def _imported(target: Target, url: str) -> TaskQueue:
    """The app, imported with the garbage collector off (a tenth faster), and then kept out of its way for good."""
    gc.disable()
    queue = find_queue(target, url)
    gc.freeze()
    gc.enable()
    return queue


def _why(error: BaseException) -> str:
    """An error of ours says it all, but not where the user's code ended the process; of others the place tells more."""
    if not isinstance(error, AppNotFound):
        return "".join(traceback.format_exception(error))
    if isinstance(error.__cause__, SystemExit):
        return "".join([str(error), "\n", *traceback.format_exception(error.__cause__)])
    return str(error)


def _tell_crashes() -> None:
    """Where a crash of C code was, on standard error, if there is one."""
    if sys.stderr is not None:
        faulthandler.enable()


def _tell_lines() -> None:
    """What a task prints is seen at once, also in a pipe."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)


def _ignore_signals() -> None:
    """The supervisor ends its children. A handler, because a task's programs would inherit an ignored signal."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)


def run(serving: Coroutine[Any, Any, None]) -> None:
    """Run it on a loop of its own: uvloop's, where it is installed."""
    try:
        import uvloop
    except ImportError:
        asyncio.run(serving)
    else:
        uvloop.run(serving)


class Channel:
    """The child's end of the socket: one reader; any thread may send."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._unframer = wire.Unframer()
        self._messages: deque[list[Any]] = deque()
        self._sending = threading.Lock()

    def receive(self) -> list[Any]:
        """The next message; waits for it. Ends the process when the supervisor is gone."""
        while not self._messages:
            try:
                data = self._socket.recv(_CHUNK)
            except OSError:
                data = b""
            if not data:
                _end_with_forks()
            self._messages.extend(self._unframer.feed(data))
        return self._messages.popleft()

    def send(self, *message: Any) -> None:
        with self._sending:
            try:
                self._socket.sendall(wire.frame(*message))
            except OSError:
                _end_with_forks()


def _end_with_forks() -> NoReturn:
    """The supervisor is gone. What a task forked off holds no lock, but must not live on beside the next attempt."""
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(0)


class Child:
    """Runs what the supervisor sends, and answers with outcomes."""

    def __init__(self, channel: Channel, slots: int, queue: TaskQueue, url: str) -> None:
        self._channel = channel
        self._queue = queue
        self._may_sweep = queue.url == url  # by another store, files in use would look unused
        self._threads = Threads(slots)
        self._threaded: dict[str, int] = {}  # job → its thread; 0 before it has one
        self._tasks: dict[str, asyncio.Task[None]] = {}  # the loop's own
        self._ended: deque[list[Any]] = deque()
        self._flushing = threading.Lock()
        self._flush_is_due = False  # the loop's own: its round ends with a flush
        self._loop: asyncio.AbstractEventLoop
        self._loop_thread: int
        self._quit: asyncio.Event

    async def serve(self) -> None:
        """Inside the app's lifespan, run jobs until told to quit."""
        self._loop, self._loop_thread = asyncio.get_running_loop(), threading.get_ident()
        self._quit = asyncio.Event()
        async with lifespan_of(self._queue):
            threading.Thread(target=self._read, name="outlast-reader", daemon=True).start()
            self._channel.send("ready")
            await self._quit.wait()

    def _read(self) -> None:
        try:
            while True:
                self._on_message(*self._channel.receive())
        except BaseException:  # a child that is deaf must not live: its jobs would run for ever
            traceback.print_exc()
            os._exit(1)

    def _on_message(self, verb: str, *rest: Any) -> None:
        if verb == "run":
            self._begin([Claimed(*job) for job in rest[0]])
        elif verb == "stop":
            self._stop(rest[0])
        elif verb == "sweep" and self._may_sweep:
            sweep = partial(sweeps.sweep, self._queue.sweep_files, rest[0])
            threading.Thread(target=sweep, name="outlast-sweeper", daemon=True).start()
        elif verb == "quit":
            self._loop.call_soon_threadsafe(self._quit.set)

    def _begin(self, jobs: list[Claimed]) -> None:
        awaited = []
        for job in jobs:
            try:
                call = executor.begin(job, self._queue)
            except TaskUnknown as error:
                self._channel.send("unknown", job.id, job.attempt, job.task, str(error))
                continue
            if isinstance(call, Outcome):
                self._answer(job, call)
            elif call.on_loop:
                awaited.append(call)
            else:
                self._threaded[job.id] = 0
                self._threads.submit(self._attempt_of(call))
        if awaited:
            self._loop.call_soon_threadsafe(self._start, awaited)
        self._flush()

    def _attempt_of(self, call: executor.Run) -> Callable[[], None]:
        def attempt() -> None:
            self._threaded[call.job.id] = threading.get_ident()
            outcome = executor.run(call)
            del self._threaded[call.job.id]
            self._answer(call.job, outcome)
            self._flush()

        return attempt

    def _start(self, calls: list[executor.Run]) -> None:
        for call in calls:
            task = self._loop.create_task(self._attempt(call))
            if not task.done():  # an eager loop has run the short ones already
                self._tasks[call.job.id] = task

    async def _attempt(self, call: executor.Run) -> None:
        outcome = await executor.arun(call, self._in_thread)
        self._tasks.pop(call.job.id, None)
        self._answer(call.job, outcome)
        if not self._flush_is_due:
            self._flush_is_due = True
            self._loop.call_soon(self._flush_round)

    async def _in_thread(self, job: Claimed, work: Callable[[], Any]) -> Any:
        """A part of an attempt that the loop has in its care: what stops the job knows of the thread meanwhile."""
        done: asyncio.Future[Callable[[], Any]] = self._loop.create_future()
        context = copy_context()

        def run() -> None:
            self._threaded[job.id] = threading.get_ident()
            result = executor.caught(partial(context.run, work))
            del self._threaded[job.id]
            self._loop.call_soon_threadsafe(_set, done, result)

        self._threaded[job.id] = 0
        self._threads.submit(run)
        return (await done)()

    def _flush_round(self) -> None:
        self._flush_is_due = False
        self._flush()

    def _answer(self, job: Claimed, outcome: Outcome) -> None:
        self._ended.append(to_message(job.id, job.attempt, outcome))

    def _flush(self) -> None:
        """Send what has ended. Whoever finds another thread sending leaves its own to that one."""
        while self._ended:
            if not self._flushing.acquire(blocking=False):
                return
            try:
                ends = []
                while self._ended:
                    ends.append(self._ended.popleft())
                if ends:
                    self._channel.send("ended", ends)
            finally:
                self._flushing.release()

    def _stop(self, job_id: str) -> None:
        """Cancel an `async def` task; of a `def` task say that nothing can stop it. Of both, where they are."""
        thread = self._threaded.get(job_id)
        if thread is not None:
            self._channel.send("stopping", job_id, _stack(thread), True)
        else:
            self._channel.send("stopping", job_id, _stack(self._loop_thread), False)
            # Behind its start, if that has not come yet.
            self._loop.call_soon_threadsafe(self._cancel, job_id)

    def _cancel(self, job_id: str) -> None:
        """Not before its first step: a task that is cancelled there never comes to say what it came to."""
        task = self._tasks.get(job_id)
        if task is None:
            return
        if inspect.getcoroutinestate(task.get_coro()) == inspect.CORO_CREATED:  # type: ignore[arg-type]
            self._loop.call_soon(self._cancel, job_id)
        else:
            task.cancel()


def _set(future: asyncio.Future[Any], result: Any) -> None:
    if not future.done():  # whoever waited may have been cancelled
        future.set_result(result)


def _stack(thread: int | None) -> str:
    """What a thread is doing, from the task's own code on where it runs one."""
    frame = sys._current_frames().get(thread or 0)
    if frame is None:
        return "no traceback: it has not begun"
    inner = takewhile(lambda each: each[0].f_code not in executor.CALLERS, traceback.walk_stack(frame))
    lines = traceback.StackSummary.extract(iter(reversed(list(inner)))).format()
    return "".join(["Its thread when it was told to stop (most recent call last):\n", *lines])
