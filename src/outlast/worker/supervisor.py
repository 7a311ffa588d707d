"""The supervisor: claims, settles, keeps the lease, and minds its children. It imports none of the user's code.

One loop, one thread. Each turn:

1. wait for messages (servers' rows, children's outcomes), signals, or the next timer;
2. one transaction: write the rows, settle what ended, claim for the slots that are free, say what has changed of us;
3. answer the servers, hand the jobs to children;
4. tend: lease, timeouts, cancels, dead and stuck children, dead workers, old jobs.

So the store is written by one process that never fights itself for the lock, and a busy turn pays one flush for all.
"""

from __future__ import annotations

import heapq
import os
import selectors
import signal
import socket
from collections.abc import Callable
from typing import Any

from outlast.clock import SystemClock, steady
from outlast.errors import NotConfirmed, StoreError, StoreUnusable
from outlast.job import Claimed, Crashed, Ended, Offered, Outcome, Released
from outlast.premises import Premises
from outlast.store import Settled, Store, clock_of, open_store
from outlast.worker import chores, events
from outlast.worker.children import Child, InChild
from outlast.worker.clock_watch import ClockWatch
from outlast.worker.leftover import Leftover
from outlast.worker.membership import Membership, Standing
from outlast.worker.neighbours import Neighbours
from outlast.worker.nursery import Nursery
from outlast.worker.outage import Outage
from outlast.worker.outcomes import from_message, unwritable
from outlast.worker.relay import Relay
from outlast.worker.running import CANCEL, SHUTDOWN, TIMEOUT
from outlast.worker.seat import Seat, Write
from outlast.worker.settings import DUTY_TAKEN, Settings
from outlast.worker.showing import Showing
from outlast.worker.sweeps import Sweeps
from outlast.worker.tally import Tally
from outlast.worker.telling import Unwritten, told_from

_CHORES = 1.0
_MORE_CHORES = 0.05
"""Seconds until the next round where there is much to prune: at most 20,000 jobs a second can end for long."""
_STOP_PATIENCE = 0.5
"""Seconds for cancelled tasks to clean up when a shutdown's grace is over."""
_LAST_WISH = 1.0
"""Seconds after that for the last children to leave the app's lifespan: with the default grace all is over in 9.5."""
_NEVER_BEGUN = Released("claimed in a commit that was not confirmed", begun=False)


class Supervisor:
    """One worker: `run` serves until told to leave, and returns the exit code."""

    def __init__(self, settings: Settings, host: int | None = None) -> None:
        self._settings = settings
        self._host = host
        self._clock = clock_of(settings.url)
        self._clock_watch = ClockWatch(self._clock.now(), steady())
        self._premises = Premises(settings.url)
        self._outage = Outage()
        self._membership = Membership(
            self._premises,
            queues=settings.queues,
            handed=settings.relayed,
            slots=settings.children * settings.slots,
            lease=settings.lease,
            outage=self._outage,
        )
        self._selector = selectors.DefaultSelector()
        self._seat = Seat(
            self._premises, self._selector, on_ring=self._on_ring, on_server_gone=self._on_server_gone
        )
        self._neighbours = Neighbours(self._selector, self._on_ring, self._outage)
        self._running: dict[str, InChild] = {}
        self._ends: list[tuple[InChild, Ended]] = []
        self._unwritten = Unwritten()
        self._tally = Tally()
        self._leftover = Leftover()
        self._deadlines: list[tuple[float, str, int]] = []
        self._look = True
        """Whether something may be claimable that was not at the last claim."""
        self._was_rung = False
        """Whether somebody rang since cancels were last looked for."""
        self._suspicion = False
        """Whether there may be jobs that must run alone."""
        self._sweeps = Sweeps()
        self._showing = Showing()
        self._may_have_strays = False
        """Whether the store may say that we run what no child has."""
        self._next_chores = 0.0
        self._next_due: float | None = None
        self._pause_until = 0.0
        self._leave_by: float | None = None
        self._gone_by = float("inf")
        self._is_last_call = False
        self._store: Store

    @property
    def id(self) -> str:
        """Under which the store knows this worker."""
        return self._membership.id

    def run(self) -> int:
        """Serve until a signal, or the end of the host, says to leave; then drain. Returns the exit code."""
        is_on_duty = self._membership.take_duty()
        if self._settings.hosted and not is_on_duty:
            return DUTY_TAKEN
        self._seat.take()
        self._open()
        while not self._has_left():
            self._wait()
            self._commit()
            self._tend()
        self._close()
        return 0

    # ---- start ---------------------------------------------------------------------------------------------------

    def _open(self) -> None:
        """Children first: they import the app while the store is opened and the dead are buried."""
        self._open_window()
        self._membership.lock()
        self._watch_signals()
        self._watch_host()
        place = (self._settings, self.id, self._premises, self._selector)
        self._nursery = Nursery(*place, self._on_child, children=self._settings.children)
        self._relay = Relay(*place, self._on_relay)
        self._nursery.tend(steady())
        self._relay.tend(steady())
        self._store = open_store(self._settings.url, clock=self._clock)
        self._membership.keep(self._store)  # a store that cannot be reached now can be later
        events.worker_started(self.id, self._settings)
        self._do_chores()

    def _open_window(self) -> None:
        if self._settings.http is not None:
            from outlast.worker.window import Window  # few want it, and it loads a web server

            Window(self._settings.http, self._settings.url, lambda: self._membership.claimed_at)

    def _watch_signals(self) -> None:
        reading, writing = socket.socketpair()
        writing.setblocking(False)
        reading.setblocking(False)
        signal.set_wakeup_fd(writing.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, lambda *_: None)
        self._signals = (reading, writing)
        self._selector.register(reading, selectors.EVENT_READ, self._on_signal)

    def _watch_host(self) -> None:
        if self._host is not None:
            self._selector.register(self._host, selectors.EVENT_READ, self._on_host)

    # ---- 1. wait -------------------------------------------------------------------------------------------------

    def _wait(self) -> None:
        for key, mask in self._selector.select(self._patience()):
            handler: Callable[[int], None] = key.data
            handler(mask)

    def _patience(self) -> float:
        """Seconds until something must be done that no message announces."""
        now = steady()
        if now >= self._pause_until and (
            self._may_find_jobs() or self._membership.has_news(self._standing())
        ):
            return 0.0
        timers = [
            self._next_chores,
            self._membership.renew_at,
            self._nursery.next_look,
            self._relay.next_look,
            self._neighbours.tell_at,
            self._tally.write_at,
        ]
        if self._next_due is not None:
            timers.append(max(self._next_due, self._pause_until))
        if self._deadlines:
            timers.append(self._deadlines[0][0])
        if self._ends or self._unwritten:
            timers.append(self._pause_until)
        if self._leave_by is not None:
            timers.append(self._leave_by)
        return max(0.0, min(timers) - now)

    def _may_find_jobs(self) -> bool:
        return (self._look and self._may_claim_more()) or (self._can_claim() and self._relay.may_offer())

    def _may_claim_more(self) -> bool:
        return self._can_claim() and self._nursery.free() > 0

    def _standing(self) -> Standing:
        """What others should know of us. The jobs of children that take no more count as room that is taken."""
        room = self._nursery.free() + len(self._running)
        left = {*self._leftover.tasks(steady()), *self._leftover.jobs()}
        return Standing(room, tuple(sorted(left)), not self._can_claim())

    def _on_ring(self) -> None:
        self._was_rung = True
        self._look_again()

    def _look_again(self) -> None:
        """Something may have become due."""
        self._look = self._relay.is_looking = True

    def _on_server_gone(self) -> None:
        """It may have left jobs held."""
        self._next_chores = 0.0

    def _on_child(self, child: Child, message: list[Any]) -> None:
        verb, *rest = message
        if verb == "ended":
            self._on_ended(child, rest[0])
        elif verb == "told":
            self._on_told(child, rest[0])
        elif verb == "stopping":
            self._on_stopping(child, *rest)
        elif verb == "unknown":
            self._on_unknown(child, *rest)
        else:
            self._nursery.on_message(child, verb, *rest)
            self._leftover.clear()  # a new child may have newer code
            self._look = True

    def _on_relay(self, child: Child, message: list[Any]) -> None:
        self._relay.on_message(child, *message)

    def _on_ended(self, child: Child, ends: list[list[Any]]) -> None:
        for message in ends:
            end = from_message(message)
            running = child.running.get(end.id)
            if running is not None and running.job.attempt == end.attempt:
                self._leave_if_unfit(running.job, end.outcome)
                self._end(running, Ended(end.id, end.attempt, running.came_to(end.outcome)))

    def _leave_if_unfit(self, job: Claimed, outcome: Outcome) -> None:
        """A child hands back of itself only what its code does not fit."""
        if isinstance(outcome, Released):
            self._leftover.add_job(job.id, job.task, steady() + outcome.delay / 1e6)

    def _on_told(self, child: Child, batch: list[list[Any]]) -> None:
        """Kept until it is written; of what is told meanwhile, what counts. The child goes by the machine's clock."""
        ahead = self._clock.now() - SystemClock().now()
        for message in batch:
            told = told_from(message, ahead)
            if told.id in child.running:
                self._unwritten.add(told)

    def _on_stopping(self, child: Child, job_id: str, where: str, is_stuck: bool) -> None:
        running = child.running.get(job_id)
        if running is not None:
            running.where = where
            if is_stuck:
                self._give_up(running)

    def _on_unknown(self, child: Child, job_id: str, attempt: int, task: str, why: str) -> None:
        """It stays queued for a worker whose code knows it; this one asks for no more of its kind."""
        running = child.running.get(job_id)
        if running is None:
            return
        if task not in self._leftover.unknown:
            self._leftover.unknown.add(task)
            events.task_unknown(task, why)
        self._end(
            running, Ended(job_id, attempt, Released(f"{why}; waits for a worker that has it", begun=False))
        )

    def _end(self, running: InChild, end: Ended) -> None:
        del running.child.running[end.id]
        del self._running[end.id]
        self._ends.append((running, end))

    def _on_signal(self, _: int) -> None:
        for number in self._signals[0].recv(4096):
            if number == signal.SIGCHLD:
                self._reap()
            else:
                self._leave(at_once=self._leave_by is not None)

    def _on_host(self, _: int) -> None:
        """The host's end of the pipe is closed: it is gone, however it went."""
        assert self._host is not None
        self._selector.unregister(self._host)
        self._leave()

    def _reap(self) -> None:
        """Every child that has ended; as process 1 also what others left behind."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            child = self._nursery.ended(pid)
            if child is not None:
                self._bury(child, os.waitstatus_to_exitcode(status))
            elif (relay := self._relay.ended(pid)) is not None:
                self._bury_relay(relay, os.waitstatus_to_exitcode(status))

    def _bury(self, child: Child, code: int) -> None:
        """A child has died. What it had sent counts; what it still had is stopped, or has crashed with it."""
        child.last_words()
        alone = len(child.running) == 1
        for running in list(child.running.values()):
            crash = Crashed(f"its child process {_death(code)}", alone)
            outcome: Outcome = running.stopped() if child.was_killed else crash
            self._end(running, Ended(running.job.id, running.job.attempt, outcome))
        if not child.was_killed and not child.is_leaving:
            events.child_died(child.pid, _death(code), was_ready=child.is_ready)
        self._nursery.tend(steady())
        self._look = True
        self._next_chores = 0.0  # a crash leaves suspects

    def _bury_relay(self, child: Child, code: int) -> None:
        child.last_words()
        if not child.was_killed and not child.is_leaving:
            events.child_died(child.pid, _death(code), was_ready=child.is_ready)
        self._relay.tend(steady())

    # ---- 2. and 3. one transaction, then the answers ---------------------------------------------------------------

    def _commit(self) -> None:
        if steady() < self._pause_until and not self._seat.writes:
            return
        looking = self._look and self._can_claim()
        relaying = self._relay.has_returned or (self._can_claim() and self._relay.may_offer())
        standing = self._standing()
        news = standing if self._membership.has_news(standing) else None
        may_claim = looking and (self._nursery.free() or self._suspicion)
        if not (self._seat.writes or self._ends or self._unwritten or news or may_claim or relaying):
            return
        writes, ends = self._seat.writes, self._ends
        self._seat.writes = []
        self._tally.turn(self._clock.now())
        try:
            settled, claimed, alone, offered = self._transact(writes, ends, looking, news)
        except (NotConfirmed, StoreUnusable) as error:
            self._store_failed(writes, error)
            return
        except Exception as error:
            self._one_by_one(writes, ends, error)
            return
        self._ends = []
        self._unwritten.clear()
        self._membership.told = news or self._membership.told
        for write in writes:
            write.confirm()
        if writes and not self._takes_all():
            self._neighbours.owe()
        for (running, _), end in zip(ends, settled, strict=True):
            self._ended(running, end)
        self._relay.committed(offered)
        if claimed:
            self._nursery.hand_out(claimed, self._started)
        if alone is not None:
            self._nursery.run_alone(alone, self._started)

    def _transact(
        self, writes: list[Write], ends: list[tuple[InChild, Ended]], looking: bool, news: Standing | None
    ) -> tuple[list[Settled], list[Claimed], Claimed | None, list[Offered]]:
        """Whatever the store may refuse is done in here: once it has committed, nothing stands before the hand-out."""
        store, settled, claimed, alone, offered = self._store, [], [], None, []
        with store.transaction(flush=any(write.rows for write in writes)):
            if news is not None:
                self._membership.report(store, news)
            for write in writes:
                _write(store, write)
            self._unwritten.write(store)
            if ends:
                settled = store.settle([end for _, end in ends])
            if looking or ((writes or ends) and self._can_claim()):
                alone = self._claim_alone()  # first: it may take a child's slots away from the others
                claimed = self._claim()
            if self._relay.has_returned:
                self._relay.take_back(store)
            if self._can_claim() and (writes or ends or self._relay.may_offer()):
                offered = self._relay.offer(store)
            if any(job.at_most_once for job in claimed) or (alone is not None and alone.at_most_once):
                store.flush()  # once begun, such a job must never be seen as queued again
            if not self._look or self._settings.handed:
                self._set_next_due()
        return settled, claimed, alone, offered

    def _takes_all(self) -> bool:
        """Whether nothing was left that another worker could have taken instead."""
        return (
            self._can_claim()
            and not self._look
            and self._settings.queues is None
            and not self._settings.handed
        )

    def _claim(self) -> list[Claimed]:
        """For every free slot; there may be more where all were filled."""
        free = self._nursery.free()
        claimed = []
        if free:
            claimed = self._store.claim(self.id, free, **self._what_to_claim())
        if self._membership.claimed_at is None:
            self._membership.renew_at = 0.0  # whoever asks how we are must not wait for the next renewal
        self._membership.claimed_at = self._clock.now()
        self._look = len(claimed) == free
        return claimed

    def _claim_alone(self) -> Claimed | None:
        """A suspect, when a child has been kept free for it."""
        if not self._suspicion:
            return None
        if not self._nursery.reserve():
            return None
        found = self._store.claim(self.id, 1, **self._what_to_claim(), alone=True)
        if not found:
            self._suspicion = False
            self._nursery.unreserve()
            self._look = True
            return None
        return found[0]

    def _what_to_claim(self) -> dict[str, Any]:
        return {
            "queues": self._settings.queues,
            "handed": [each.queue for each in self._settings.handed],
            "unknown": self._leftover.tasks(steady()),
            "unfit": self._leftover.jobs(),
        }

    def _started(self, job: Claimed, child: Child) -> None:
        now = steady()
        running = child.running[job.id] = self._running[job.id] = InChild(job, now, child)
        if job.timeout is not None:
            self._set_deadline(now + job.timeout / 1e6, job)
        self._tally.started(job)
        events.attempt_started(running)

    def _ended(self, running: InChild, settled: Settled) -> None:
        self._tally.ended(running.job, settled.ending, steady() - running.since)
        events.attempt_ended(running, settled)

    def _set_deadline(self, at: float, job: Claimed) -> None:
        """Those of jobs that ended in time are swept out when they are the greater part."""
        if len(self._deadlines) > 1000 + 4 * len(self._running):
            self._deadlines = [each for each in self._deadlines if self._is_running(*each[1:])]
            heapq.heapify(self._deadlines)
        heapq.heappush(self._deadlines, (at, job.id, job.attempt))

    def _is_running(self, job_id: str, attempt: int) -> bool:
        running = self._running.get(job_id)
        return running is not None and running.job.attempt == attempt

    def _set_next_due(self) -> None:
        due = self._store.next_due()
        self._next_due = None if due is None else steady() + max(0.0, (due - self._clock.now()) / 1e6)

    def _store_failed(self, writes: list[Write], error: StoreError) -> None:
        """Ends are kept and written later; rows are refused, and their servers say 503."""
        self._outage.failed(error)
        for write in writes:
            write.refuse(str(error))
        self._may_have_strays = True
        self._pause_until = steady() + 0.5

    def _one_by_one(self, writes: list[Write], ends: list[tuple[InChild, Ended]], error: Exception) -> None:
        """The store is well, but something in this commit cannot be written: let nobody else pay for it."""
        if not (writes or ends or self._unwritten or isinstance(error, StoreError)):
            raise error
        if writes or ends:
            events.store_failed(error)
        else:
            self._outage.failed(error)
        self._ends = []
        self._try(self._unwritten.write_one_by_one)
        for write in writes:
            try:
                with self._store.transaction(flush=True):
                    _write(self._store, write)
            except Exception as refusal:
                write.refuse(f"{type(refusal).__name__}: {refusal}")
            else:
                write.confirm()
        for running, end in ends:
            try:
                (settled,) = self._store.settle([end])
            except (NotConfirmed, StoreUnusable):
                self._ends.append((running, end))  # it is as good as it was: the store has failed meanwhile
            except Exception as refusal:
                self._ends.append((running, end._replace(outcome=unwritable(refusal))))
            else:
                self._ended(running, settled)
        self._may_have_strays = True
        self._pause_until = steady() + 0.5

    def _release_strays(self) -> None:
        """A commit that failed may have been written all the same: what it claimed was then never handed out."""
        handed = {(running.job.id, running.job.attempt) for running in self._running.values()}
        handed |= {(end.id, end.attempt) for _, end in self._ends}
        strays = [each for each in self._store.running(self.id) if each not in handed]
        self._store.settle([Ended(job_id, attempt, _NEVER_BEGUN) for job_id, attempt in strays])
        self._may_have_strays = False

    # ---- 4. tend ---------------------------------------------------------------------------------------------------

    def _tend(self) -> None:
        now = steady()
        if self._next_due is not None and now >= self._next_due:
            self._next_due = None
            self._look_again()
        while self._deadlines and self._deadlines[0][0] <= now:
            _, job_id, attempt = heapq.heappop(self._deadlines)
            self._stop_attempt(job_id, attempt, TIMEOUT)
        if now >= self._membership.renew_at:
            self._renew()
        if now >= self._neighbours.tell_at:
            self._try(self._neighbours.tell)
        if now >= self._tally.write_at:
            self._try(self._tally.write)
        if now >= self._next_chores:
            self._do_chores()
        elif self._was_rung:
            self._answer_bell()
        if self._leave_by is not None and now >= self._leave_by:
            self._stop_rest(now)
        self._nursery.tend(now)
        self._relay.tend(now)

    def _stop_attempt(self, job_id: str, attempt: int, why: str) -> None:
        if self._is_running(job_id, attempt):
            self._stop(self._running[job_id], why)

    def _stop(self, running: InChild, why: str) -> None:
        """Ask the child to stop a job. One that does not obey within the grace is given up with its child."""
        if running.stop is not None:
            if why == TIMEOUT:
                self._give_up(running)
            return
        running.stop = why
        running.child.stop(running.job.id)
        self._set_deadline(steady() + self._settings.grace.total_seconds(), running.job)

    def _give_up(self, running: InChild) -> None:
        """Nothing stops this job but the end of its child, which takes no more jobs, drains, and is replaced."""
        running.is_stuck = True
        self._nursery.replace(running.child, steady() + self._settings.grace.total_seconds())

    def _renew(self) -> None:
        """And look for strays: a database that crashed has forgotten endings, and may be back unnoticed."""
        self._may_have_strays = True
        if not self._may_claim_more():
            self._membership.claimed_at = self._clock.now()  # no claim is due that could be late
        if not self._membership.keep(self._store):
            self._cut_off()

    def _cut_off(self) -> None:
        """The lease is over: others may run our jobs. End ours, and begin again as a new worker."""
        events.lease_lost(self.id, len(self._running))
        self._nursery.kill_all()
        self._relay.nursery.kill_all()
        for running in list(self._running.values()):
            del running.child.running[running.job.id]
        self._running.clear()
        self._ends.clear()
        self._unwritten.clear()
        self._membership.begin_anew()
        self._nursery.worker = self._relay.nursery.worker = self.id
        self._membership.keep(self._store)

    def _do_chores(self) -> None:
        """What is done now and then, not for a message: the slow poll is one of them."""
        self._next_chores = steady() + _CHORES
        self._look_again()
        self._notice_jump()
        try:
            self._take_what_is_free()
            if self._may_have_strays:
                self._release_strays()
            self._stop_cancelled(self._store)
            done = chores.do(self._store, self._premises, self.id, self._settings.retention)
            self._tally.turn(self._clock.now())
            self._tally.ended_elsewhere(done.settled)
            if done.is_more:
                self._next_chores = steady() + _MORE_CHORES
            self._sweep(done.files)
            self._suspicion |= self._store.suspects(**self._what_to_claim())
            self._neighbours.listen(self._store)
            self._showing.show(self._store, self.id, self._nursery.children.values())
            self._outage.went_well()
        except StoreError as error:
            self._outage.failed(error)

    def _sweep(self, files: list[str]) -> None:
        """Stored files go by the hand of a child."""
        self._sweeps.note(files)
        child = self._nursery.sweeper() or self._relay.nursery.sweeper()
        if child is not None:
            for names in self._sweeps.due(steady()):
                child.sweep(names)

    def _take_what_is_free(self) -> None:
        """The duty and the seat of a worker that has gone."""
        if self._leave_by is None:
            self._membership.take_duty()
            if not self._seat.is_taken:
                self._seat.take()

    def _notice_jump(self) -> None:
        seconds = self._clock_watch.jump(self._clock.now(), steady())
        if seconds:
            events.clock_jumped(seconds)

    def _answer_bell(self) -> None:
        """Somebody rang: there is something to claim, or to cancel."""
        self._try(self._stop_cancelled)

    def _try(self, work: Callable[[Store], object]) -> None:
        """What can wait for the next round, if the store fails."""
        try:
            work(self._store)
        except StoreError as error:
            self._outage.failed(error)

    def _stop_cancelled(self, store: Store) -> None:
        self._was_rung = False
        for job_id, attempt in store.cancels(self.id):
            self._stop_attempt(job_id, attempt, CANCEL)

    # ---- leave -----------------------------------------------------------------------------------------------------

    def _can_claim(self) -> bool:
        return self._leave_by is None

    def _leave(self, *, at_once: bool = False) -> None:
        """Stop claiming, give up the seat to whoever is next, and let running jobs finish within the grace."""
        if self._leave_by is None:
            events.worker_leaving(self.id, len(self._running), self._settings.grace)
            self._leave_in(self._settings.grace.total_seconds())
            self._commit()  # rows that were taken, before their servers lose us
            self._seat.give_up()
            self._membership.give_up_duty()
            self._nursery.is_closing = self._relay.nursery.is_closing = True
        if at_once:
            self._leave_in(0.0)

    def _leave_in(self, seconds: float) -> None:
        self._leave_by = steady() + seconds
        self._gone_by = self._leave_by + _STOP_PATIENCE + _LAST_WISH

    def _stop_rest(self, now: float) -> None:
        """The grace is over: cancel what can be cancelled, and soon after kill the rest."""
        self._leave_by = now + _STOP_PATIENCE
        if self._is_last_call:
            self._nursery.kill_busy()
            return
        self._is_last_call = True
        for running in self._running.values():
            if running.stop is None:
                running.stop = SHUTDOWN
                running.child.stop(running.job.id)

    def _has_left(self) -> bool:
        """Each child leaves the app's lifespan once it has nothing to run; when all have, this is over.

        What a store that fails does not take in time is left unsettled: whoever rescues it runs those jobs again.
        """
        if self._leave_by is None:
            return False
        self._nursery.quit_idle(self._gone_by)
        self._relay.nursery.quit_idle(self._gone_by)
        if self._running or self._nursery.children or self._relay.nursery.children:
            return False
        return not (self._ends or self._relay.has_returned) or steady() >= self._gone_by

    def _close(self) -> None:
        if self._ends:
            events.left_unsettled(len(self._ends))
        self._try(self._tally.write)
        self._neighbours.close()
        self._try(self._membership.leave)
        self._store.close()
        events.worker_left(self.id)


def _write(store: Store, write: Write) -> None:
    if write.rows:
        store.insert(write.rows)
    if write.let_go and write.server is not None:
        store.unhold(write.server, write.let_go)


def _death(code: int) -> str:
    if code < 0:
        names = {number.value: number.name for number in signal.Signals}
        return f"was killed by {names.get(-code, f'signal {-code}')}"  # real-time signals have no name
    return f"ended with exit code {code}"
