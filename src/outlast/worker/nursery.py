"""The children of a supervisor: starts them, hands jobs to the least busy, replaces the stuck and the dead."""

from __future__ import annotations

import selectors
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from outlast.clock import steady
from outlast.job import Claimed
from outlast.premises import Premises
from outlast.worker import events
from outlast.worker.children import Child
from outlast.worker.settings import Settings

_LONGEST_PAUSE = 30.0
"""Seconds between tries to start a child whose app does not start."""
_LAST_WISH = 2.0
"""Seconds a child has to end that does not start, or that the shutdown finds starting."""

Started = Callable[[Claimed, Child], None]


class Nursery:
    """So many children of one kind: those that run jobs, unless told otherwise."""

    def __init__(
        self,
        settings: Settings,
        worker: str,
        premises: Premises,
        selector: selectors.BaseSelector,
        on_message: Callable[[Child, list[Any]], None],
        *,
        children: int,
        module: Sequence[str] = ("outlast.worker", "child"),
        lock_of: Callable[[str, int], Path] | None = None,
    ) -> None:
        self.worker = worker
        self.children: dict[int, Child] = {}
        """By process id."""
        self.next_look = 0.0
        """When `tend` has something to do (steady clock)."""
        self.is_closing = False
        self._settings = settings
        self._wanted = children
        self._module = module
        self._lock_of = lock_of or premises.child
        self._selector = selector
        self._on_message = on_message
        self._is_one_more_wanted = False
        """Whether jobs must run alone and no child is idle."""
        self._number = 0
        self._failures = 0
        self._pause_until = 0.0

    # ---- starting and ending ---------------------------------------------------------------------------------------

    def tend(self, now: float) -> None:
        """Start what is missing, and end what has drained or had its time."""
        for child in list(self.children.values()):
            if child.leave_by is None:
                continue
            if self._is_over(child, now):
                child.kill()
                child.leave_by = None
            elif child.is_ready and not child.running:
                self._let_go(child, now + self._settings.grace.total_seconds())
        if not self.is_closing:
            while self._is_one_missing() and now >= self._pause_until:
                self._start()
        self._set_next_look()

    def on_message(self, child: Child, verb: str, *rest: Any) -> None:
        """`ready`, or `unready` with the traceback of why the app does not start, or why it fell."""
        if verb == "ready":
            child.is_ready = True
            self._failures = 0
        elif child.is_ready:
            events.child_failed(child.pid, rest[0])
        else:
            child.is_leaving = True
            child.leave_by = self.next_look = steady() + _LAST_WISH
            events.child_cannot_start(rest[0], self._failed())

    def ended(self, pid: int) -> Child | None:
        """The child that had this process id, no longer one of ours. One that dies before it is ready makes us wait."""
        child = self.children.pop(pid, None)
        if child is not None and not child.is_ready and not child.is_leaving:
            self._failed()
        return child

    def replace(self, child: Child, leave_by: float) -> None:
        """Give it no more jobs, and end it once only stuck ones are left, or at `leave_by`."""
        if not child.is_leaving:
            events.child_is_stuck(child.pid, len(child.running), is_replaced=not self.is_closing)
            child.is_leaving = True
            child.leave_by = leave_by
        self.next_look = 0.0

    def kill_all(self) -> None:
        for child in self.children.values():
            child.kill()

    def kill_busy(self) -> None:
        """Those that still run something."""
        for child in self.children.values():
            if child.running:
                child.kill()

    def quit_idle(self, by: float) -> None:
        """Let the children that have nothing to run leave the app's lifespan; they are ended at `by`."""
        for child in self.children.values():
            if not child.running and not child.was_killed:
                self._let_go(child, by if child.is_ready else min(by, steady() + _LAST_WISH))

    def _let_go(self, child: Child, by: float) -> None:
        if not child.is_quitting:
            child.quit()
            child.leave_by = by
        child.leave_by = min(child.leave_by or by, by)
        self.next_look = min(self.next_look, child.leave_by)

    def _start(self) -> None:
        self._number += 1
        child = Child(self._number, self._lock_of(self.worker, self._number), self._settings.slots)
        orders = {
            "url": self._settings.url,
            "target": self._settings.target.to_message(),
            "slots": self._settings.slots,
            "lock": str(child.lock),
            "worker": self.worker,
        }
        try:
            child.start(self._selector, orders, self._on_message, self._module)
        except OSError as error:
            # No process or no descriptor is to be had: the other children must not pay for it.
            events.child_cannot_start(f"no process for it: {error}", self._failed())
        else:
            self.children[child.pid] = child

    def _failed(self) -> float:
        """Wait before the next try to start a child; the seconds."""
        self._failures += 1
        pause = pause_after(self._failures)
        self._pause_until = steady() + pause
        return pause

    def _is_over(self, child: Child, now: float) -> bool:
        assert child.leave_by is not None
        is_stuck = bool(child.running) and all(running.is_stuck for running in child.running.values())
        return is_stuck or now >= child.leave_by

    def _set_next_look(self) -> None:
        looks = [child.leave_by for child in self.children.values() if child.leave_by is not None]
        if not self.is_closing and self._is_one_missing():
            looks.append(self._pause_until)
        self.next_look = min(looks, default=float("inf"))

    def _is_one_missing(self) -> bool:
        return len(self._staying()) < self._wanted + self._is_one_more_wanted

    # ---- work --------------------------------------------------------------------------------------------------------

    def free(self) -> int:
        """Jobs that could start now."""
        return sum(child.free() for child in self.children.values())

    def hand_out(self, jobs: list[Claimed], started: Started) -> None:
        """Each job to the child that has the fewest."""
        batches: dict[int, list[Claimed]] = {}
        open_children = [child for child in self.children.values() if child.free() > 0]
        for job in jobs:
            child = min(open_children, key=_load)
            started(job, child)
            batches.setdefault(child.pid, []).append(job)
            if child.free() == 0:
                open_children.remove(child)
        for pid, batch in batches.items():
            self.children[pid].run(batch)

    def sweeper(self) -> Child | None:
        """A child that can look through the stored files, which is no job and takes no slot."""
        return next((child for child in self._staying() if child.is_ready), None)

    def reserve(self) -> bool:
        """Keep an idle child for jobs that must run alone, one more where all are busy. True once it is empty.

        Neither do suspects wait for the long jobs of others, nor these for them.
        """
        lone = self._lone()
        if lone is None:
            lone = next((child for child in self._staying() if child.is_ready and not child.running), None)
            if lone is None:
                self._is_one_more_wanted = all(child.is_ready for child in self._staying())
                self.next_look = 0.0
                return False
            lone.is_reserved = True
        return not lone.running

    def unreserve(self) -> None:
        """No job must run alone any more; the one child more may go."""
        self._is_one_more_wanted = False
        lone = self._lone()
        if lone is None:
            return
        lone.is_reserved = False
        if len(self._staying()) > self._wanted:
            self._let_go(lone, steady() + self._settings.grace.total_seconds())

    def _lone(self) -> Child | None:
        return next((child for child in self._staying() if child.is_reserved), None)

    def _staying(self) -> list[Child]:
        return [child for child in self.children.values() if not child.is_leaving]

    def run_alone(self, job: Claimed, started: Started) -> None:
        child = self._lone()
        assert child is not None
        started(job, child)
        child.run([job])


def pause_after(failures: int) -> float:
    """Seconds until the next try to start a child, after so many that failed in a row."""
    return float(min(_LONGEST_PAUSE, 0.5 * 2 ** min(failures, 10)))


def _load(child: Child) -> int:
    return len(child.running)
