"""A supervisor's side of one child: the process, its socket, and the jobs it has."""

from __future__ import annotations

import os
import selectors
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from outlast.job import Claimed, Erred, Outcome, Released, Stopped, TimedOut
from outlast.worker.peer import Peer

TIMEOUT, CANCEL, SHUTDOWN = "timeout", "cancel", "shutdown"


@dataclass(slots=True)
class Running:
    """A job in a child."""

    job: Claimed
    child: Child
    since: float
    """When it was handed over, on the steady clock."""
    stop: str | None = None
    """Why it was told to stop, if it was."""
    is_stuck: bool = False
    """It cannot be stopped but with its child."""
    where: str = "no traceback: its child did not answer; it may be in code that holds the interpreter"
    """What its child said of the place where it was when it was told to stop."""

    def came_to(self, outcome: Outcome) -> Outcome:
        """What its code's ending means, given why it was told to stop."""
        if isinstance(outcome, Erred) and self.stop == SHUTDOWN and outcome.again:
            return Released(f"the worker was shut down; stopped, its task raised {outcome.error}")
        if not isinstance(outcome, Stopped):
            return outcome
        if self.stop is None:
            return Erred(
                "CancelledError: the task was cancelled by code of its own process", outcome.traceback
            )
        self.where = outcome.traceback
        return self.stopped()

    def stopped(self) -> Outcome:
        """What it came to when its code was stopped, with or without its child."""
        if self.stop == TIMEOUT:
            return TimedOut(self.job.timeout or 0, self.where)
        if self.stop == CANCEL:
            return Stopped()
        return Released("the worker was shut down" if self.stop == SHUTDOWN else "its child was replaced")


class Child:
    """One child process."""

    def __init__(self, number: int, lock: Path, slots: int) -> None:
        self.number = number
        self.lock = lock
        self.slots = slots
        self.running: dict[str, Running] = {}
        self.is_ready = False
        self.is_leaving = False
        """Takes no more jobs: it is being replaced, or the worker shuts down."""
        self.is_quitting = False
        """Was told to leave the app's lifespan and end."""
        self.is_reserved = False
        """Kept free for jobs that must run alone."""
        self.leave_by: float | None = None
        self.was_killed = False
        self.pid = 0

    def start(
        self,
        selector: selectors.BaseSelector,
        orders: dict[str, Any],
        on_message: Callable[[Child, list[Any]], None],
    ) -> None:
        """Begin the process, in a group of its own: Ctrl-C does not reach it, and a kill reaches its forks."""
        ours, theirs = socket.socketpair()
        command = [sys.executable, "-P", "-m", "outlast.worker", "child", str(theirs.fileno())]
        with theirs, ExitStack() as unless_begun:
            unless_begun.enter_context(ours)
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()], process_group=0
            )
            unless_begun.pop_all()
        process.returncode = 0  # the supervisor reaps by itself
        self.pid = process.pid
        self._peer = Peer(selector, ours, lambda _, message: on_message(self, message), lambda _: None)
        self._peer.send("orders", orders)

    def free(self) -> int:
        """How many more jobs it can take."""
        if not self.is_ready or self.is_leaving or self.is_reserved:
            return 0
        return self.slots - len(self.running)

    def run(self, jobs: list[Claimed]) -> None:
        self._peer.send("run", jobs)

    def stop(self, job_id: str) -> None:
        self._peer.send("stop", job_id)

    def sweep(self, names: list[str] | None) -> None:
        """Delete stored files that no job uses: of these, or of all. It has the app, which knows where they lie."""
        self._peer.send("sweep", names)

    def quit(self) -> None:
        """Leave the app's lifespan and end."""
        self.is_leaving = self.is_quitting = True
        self._peer.send("quit")

    def kill(self) -> None:
        self.was_killed = True
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    def last_words(self) -> None:
        """After its death: take what it had sent, and close."""
        self._peer.drain()
        self._peer.close()
        self.lock.unlink(missing_ok=True)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)  # what its tasks forked off
