"""A supervisor's side of one child: the process, its socket, and the jobs it has."""

from __future__ import annotations

import os
import selectors
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from outlast.job import Claimed, Offered
from outlast.worker.peer import Peer
from outlast.worker.running import Running


@dataclass(slots=True)
class InChild(Running):
    """A job in a child."""

    child: Child
    is_stuck: bool = False
    """It cannot be stopped but with its child."""


class Child:
    """One child process."""

    def __init__(self, number: int, lock: Path, slots: int) -> None:
        self.number = number
        self.lock = lock
        self.slots = slots
        self.running: dict[str, InChild] = {}
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
        module: Sequence[str] = ("outlast.worker", "child"),
    ) -> None:
        """Begin the process, in a group of its own: Ctrl-C does not reach it, and a kill reaches its forks."""
        ours, theirs = socket.socketpair()
        command = [sys.executable, "-P", "-m", *module, str(theirs.fileno())]
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

    def publish(self, jobs: list[Offered]) -> None:
        self._peer.send("publish", jobs)

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
