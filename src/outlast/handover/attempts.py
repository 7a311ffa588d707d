"""Runs attempts in a process of an engine: Celery's, RQ's, Dramatiq's.

1. The first attempt makes what the process needs, once, under a lock, after any fork: a loop in a thread with the app's
   lifespan, a connection to the store, a worker that the store knows, and a keeper beside it.
2. Each attempt takes its job by its fence (every other copy of the message is dropped), runs it, and settles it.
3. When the process ends in peace it leaves the lifespan and the store; when it dies, its keeper frees its jobs.

What runs the code is the same `Child` that a supervisor has in a process of its own; here the two share one, and talk
without a socket.
"""

from __future__ import annotations

import logging
import os
import queue as queues
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from outlast import locks, role
from outlast.clock import steady
from outlast.errors import StoreError
from outlast.handover.books import Books
from outlast.handover.keeper import GOODBYE, Orders
from outlast.job import Claimed, Ended, Outcome, Released, Told, new_id
from outlast.premises import Premises
from outlast.queue import TaskQueue
from outlast.store import Settled, Store, open_store
from outlast.store.writer import Writer
from outlast.worker import child, events, log_lines
from outlast.worker.executor import MISFIT_PAUSE
from outlast.worker.membership import Membership
from outlast.worker.outcomes import from_message, unwritable
from outlast.worker.running import CANCEL, TIMEOUT, Running
from outlast.worker.telling import Teller

_LEASE = timedelta(seconds=15)
_LOOK = 1.0
"""Seconds between looks for cancels."""
_AT_MOST_EVERY = 0.02
"""Seconds between two rings of the supervisor's bell."""
_AGAIN = 0.5
"""Seconds until a store that failed is asked again."""
_SLOTS = 1024
"""The engine says how many jobs it runs at once: this many threads are enough for any."""

_log = logging.getLogger("outlast.worker")
_starting = threading.Lock()
_process: EngineProcess | None = None
_command: str | None = None
"""The lock of the engine's command: this process, or the one that it was forked from, holds it."""
T = TypeVar("T")


def begin(queue: TaskQueue) -> None:
    """This process is an engine's. From now on TaskQueue starts nothing here; a store out of reach is told."""
    global _command
    role.enter_worker()
    role.has_imported()
    try:
        require_store(queue)
        lock = Premises(queue.url).command(new_id())
        locks.acquire(lock)
        _command = str(lock)
    except StoreError as error:
        _log.error("this worker cannot reach the store, so it runs no job of Outlast's: %s", error)


def require_store(queue: TaskQueue) -> None:
    """Raises StoreError where it is not there: a worker makes none, least of all in a folder of its own."""
    store = open_store(queue.url, clock=queue.clock, create=False)
    try:
        store.workers()
    finally:
        store.close()


def run(queue: TaskQueue, engine: str, job_id: str, attempt: int) -> None:
    """Run one attempt of a job to its end, in this process. Never raises."""
    try:
        _process_for(queue, engine).run(job_id, attempt)
    except BaseException:
        _log.exception(
            "the message of job %s (attempt %d) was dropped; it is published again", job_id, attempt
        )


def leave() -> None:
    """This process ends: leave the app's lifespan, and the store."""
    global _process
    process, _process = _process, None
    if process is not None:
        process.leave()
    if _command is not None:
        locks.release(Path(_command), remove=True)


def _process_for(queue: TaskQueue, engine: str) -> EngineProcess:
    global _process
    with _starting:
        if _process is None:
            _process = EngineProcess(queue, engine)
        return _process


def _forget_parent() -> None:
    """In a forked child: what the parent has is the parent's."""
    global _process, _starting
    _process, _starting = None, threading.Lock()


os.register_at_fork(after_in_child=_forget_parent)


@dataclass(slots=True)
class Attempt(Running):
    """An attempt under way, with what its caller waits for."""

    done: Future[Outcome]


class EngineProcess:
    """This process as a worker: a supervisor of one child, which is itself."""

    def __init__(self, queue: TaskQueue, engine: str) -> None:
        role.enter_worker()
        role.has_imported()
        require_store(queue)
        self._queue = queue
        self._engine = engine
        self._running: dict[str, Attempt] = {}
        self._is_over = threading.Event()
        self._channel = Inward(self._on_message)
        self._enter_lifespan()
        self._writer = Writer(queue.url, clock=queue.clock, dice=queue.dice)
        self._premises = Premises(queue.url)
        self._membership = Membership(self._premises, queues=(), engine=engine, slots=1, lease=_LEASE)
        self._keeper = Keeper(queue.url)
        self._books = Books()
        queue.teller = Teller(self._keep, queue.clock)
        log_lines.install(queue.capture)
        self._bell = Bell(self._writer)
        threading.Thread(target=self._watch, name="outlast-watch", daemon=True).start()

    def _enter_lifespan(self) -> None:
        """Raises what it raises."""
        serving = child.Child(self._channel, _SLOTS, self._queue, self._queue.url).serve()
        threading.Thread(target=self._loop, args=(serving,), name="outlast-loop", daemon=True).start()
        self._channel.ready.result()

    def _loop(self, serving: Any) -> None:
        try:
            child.run(serving)
        except BaseException as error:
            self._channel.fail(error)
        finally:
            self._is_over.set()

    # ---- one attempt

    def run(self, job_id: str, attempt: int) -> None:
        job: Claimed | None = self._writer.call(partial(self._claim, job_id, attempt))
        if job is None:
            return
        running = Attempt(job=job, since=steady(), done=Future())
        settled = self._settle(running, self._outcome(running))
        self._bell.owe()
        events.attempt_ended(running, settled)

    def _claim(self, job_id: str, attempt: int, store: Store) -> Claimed | None:
        """On the store's thread. A worker that the store does not know (any more) enters first."""
        membership = self._membership
        if not membership.is_known:
            self._enter(store)
        job = store.claim_published(membership.id, job_id, attempt, engine=self._engine)
        if job is None and not store.renew(membership.id, _LEASE):
            membership.begin_anew()
            self._enter(store)
            job = store.claim_published(membership.id, job_id, attempt, engine=self._engine)
        if job is None:
            return None
        if job.at_most_once:
            store.flush()
        self._books.started(job, store)
        return job

    def _keep(self, told: list[Told]) -> None:
        """Before the attempt is settled, since the store's thread takes one thing after another."""
        self._writer.post(partial(self._books.keep, told))

    def _enter(self, store: Store) -> None:
        self._membership.enter(store)
        self._keeper.keep(self._membership.id)

    def _outcome(self, running: Attempt) -> Outcome:
        job = running.job
        self._running[job.id] = running
        try:
            self._channel.put("run", [job])
            with Timer(job.timeout, lambda: self._stop(job.id, TIMEOUT)):
                return running.done.result()
        finally:
            self._running.pop(job.id, None)

    def _settle(self, running: Running, outcome: Outcome) -> Settled:
        """Again and again while the store fails: nobody else may end this attempt while we live."""
        end = Ended(running.job.id, running.job.attempt, outcome)
        while True:
            try:
                return self._writer.call(partial(self._books.settle, running, end))
            except StoreError as error:
                events.store_failed(error)
                time.sleep(_AGAIN)
            except Exception as error:
                end = end._replace(outcome=unwritable(error))

    # ---- what the child says

    def _on_message(self, verb: str, *rest: Any) -> None:
        if verb == "ended":
            for message in rest[0]:
                end = from_message(message)
                self._end(end.id, end.outcome)
        elif verb == "unknown":
            job_id, _, _, why = rest
            note = f"{why}; waits for a worker that has it"
            self._end(job_id, Released(note, MISFIT_PAUSE, begun=False))
        elif verb == "stopping":
            self._on_stopping(*rest)

    def _end(self, job_id: str, outcome: Outcome) -> None:
        running = self._running.get(job_id)
        if running is not None and not running.done.done():
            running.done.set_result(running.came_to(outcome))

    def _on_stopping(self, job_id: str, where: str, is_stuck: bool) -> None:
        running = self._running.get(job_id)
        if running is not None:
            running.where = where
            if is_stuck:
                threading.Thread(target=self._give_up, args=(running,), daemon=True).start()

    # ---- stopping

    def _watch(self) -> None:
        """Look for cancels while something runs, and after the keeper."""
        while not self._is_over.wait(_LOOK):
            with suppress(StoreError):
                self._keeper.tend(self._membership.id)
                if steady() >= self._books.write_at:
                    self._writer.call(self._books.write)
                if self._running:
                    for job_id, attempt in self._writer.call(
                        lambda store: store.cancels(self._membership.id)
                    ):
                        self._stop(job_id, CANCEL, attempt)

    def _stop(self, job_id: str, why: str, attempt: int | None = None) -> None:
        """Ask the code of a job to stop. What does not obey within the grace is given up with this process."""
        running = self._running.get(job_id)
        if running is None or running.stop is not None or attempt not in (None, running.job.attempt):
            return
        running.stop = why
        self._channel.put("stop", job_id)
        threading.Timer(self._queue.grace.total_seconds(), self._give_up, (running,)).start()

    def _give_up(self, running: Attempt) -> None:
        """Nothing stops this job but the end of the process; others in it may finish within the grace."""
        if running.done.done():
            return
        deadline = steady() + self._queue.grace.total_seconds()
        while steady() < deadline and any(not each.stop for each in list(self._running.values())):
            time.sleep(0.05)
        if running.done.done():
            return
        events.process_is_stuck(os.getpid(), len(self._running))
        events.attempt_ended(running, self._settle(running, running.stopped()))
        with suppress(StoreError):
            self._writer.call(self._books.write)
        os.kill(os.getpid(), signal.SIGKILL)

    # ---- the end

    def leave(self) -> None:
        """Leave the app's lifespan, then the store. What still runs is freed by the keeper."""
        self._channel.put("quit")
        self._is_over.wait(self._queue.grace.total_seconds())
        with suppress(StoreError):
            if self._membership.is_known:
                self._writer.call(self._books.write)
                self._writer.call(self._membership.leave)
                self._keeper.goodbye()
        self._writer.close()


class Timer:
    """Calls `late` if what is inside takes longer than this (µs)."""

    def __init__(self, timeout: int | None, late: Callable[[], None]) -> None:
        self._timer = None if timeout is None else threading.Timer(timeout / 1e6, late)

    def __enter__(self) -> None:
        if self._timer is not None:
            self._timer.daemon = True
            self._timer.start()

    def __exit__(self, *_: object) -> None:
        if self._timer is not None:
            self._timer.cancel()


class Inward(child.Channel):
    """What a Child has in place of a socket where its supervisor is in the same process."""

    def __init__(self, on_message: Callable[..., None]) -> None:
        self.ready: Future[None] = Future()
        self._inbox: queues.SimpleQueue[list[Any]] = queues.SimpleQueue()
        self._on_message = on_message

    def put(self, *message: Any) -> None:
        """Say something to the child."""
        self._inbox.put([*message])

    def fail(self, error: BaseException) -> None:
        """It has ended with an error."""
        if not self.ready.done():
            self.ready.set_exception(error)

    def receive(self) -> list[Any]:
        return self._inbox.get()

    def send(self, *message: Any) -> None:
        if message[0] == "ready":
            self.ready.set_result(None)
        else:
            self._on_message(*message)


class Bell:
    """Tells the supervisor that there may be something to offer: not with each job, but soon after."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._owed = threading.Event()
        threading.Thread(target=self._serve, name="outlast-bell", daemon=True).start()

    def owe(self) -> None:
        self._owed.set()

    def _serve(self) -> None:
        while True:
            self._owed.wait()
            self._owed.clear()
            self._writer.ring()
            time.sleep(_AT_MOST_EVERY)


class Keeper:
    """This process's end of its keeper."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._process: subprocess.Popen[bytes] | None = None
        self._pipe: int | None = None

    def keep(self, worker: str) -> None:
        """Have this worker kept."""
        if self._process is None or self._process.poll() is not None:
            self._start()
        self._write(Orders(url=self._url, worker=worker, lease=_LEASE, command=_command).to_line())

    def tend(self, worker: str) -> None:
        """Start another where it has died."""
        if self._process is not None and self._process.poll() is not None:
            self.keep(worker)

    def goodbye(self) -> None:
        """The worker has left by itself."""
        self._write(GOODBYE)
        if self._process is not None:
            self._process.wait()

    def _write(self, line: bytes) -> None:
        assert self._pipe is not None
        with suppress(BrokenPipeError):
            os.write(self._pipe, line)

    def _start(self) -> None:
        if self._pipe is not None:
            os.close(self._pipe)
        theirs, self._pipe = os.pipe()
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "outlast.handover", "keep", str(theirs)],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs],
                start_new_session=True,
            )
        finally:
            os.close(theirs)
