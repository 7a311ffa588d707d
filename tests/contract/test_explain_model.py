"""Random events against a small model of why each job is not running: after each, the store's reasons are those.

1. A queued job that a living worker's next claim would take has no reason; each other one has at least one.
2. Every reason is true, and every true one is given: they are those of the model, which knows no SQL.
3. When the last reason has been taken away, by what it says itself, the next claim takes the job.

All this also where a queue is handed over: a relay offers its jobs, and an engine's processes get messages. A claim is
then an offer, and what is said of a published job is what becomes of it: a message that comes takes it, and one that
does not is published again.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from outlast.clock import ManualClock, to_instant, to_micros
from outlast.explain import Explanation, Why, explain
from outlast.handed import Handed, message_id
from outlast.job import (
    Claimed,
    Crashed,
    Ended,
    Erred,
    Lost,
    NewJob,
    Outcome,
    Released,
    Snoozed,
    State,
    Succeeded,
)
from outlast.store import JobFilter, Settled, open_store
from tests.contract.making import ids, new_chain, undone, worker_record
from tests.histories import in_time, run
from tests.stores import STORES, name_of

SECOND = 1_000_000
LETS_GO = (Succeeded, Erred, Crashed, Lost, Snoozed)
KEEPS_ITS_PLACE = (Released, Lost)
QUEUES = ("a", "b")
TASKS = ("app:one", "app:other")
LEASE = timedelta(seconds=3)
HANDED = (
    Handed(queue=None, engine="rq", in_flight=1, lease=LEASE),
    Handed(queue="a", engine="rq", in_flight=2, lease=LEASE),
)

seldom = st.sampled_from([False, False, False, True])
outcomes = st.sampled_from(
    [
        Succeeded(),
        Erred("no", "tb", again=False),
        Erred("no", "tb", delay=2 * SECOND),
        Erred("no", "tb", delay=0),
        Crashed("signal 11", alone=False),
        Released(),
        Released("does not fit", 3 * SECOND, begun=False),
        Snoozed(SECOND),
    ]
)
requests = st.fixed_dictionaries(
    {
        "length": st.integers(1, 3),
        "held": seldom,
        "expires": st.none() | st.integers(1, 4),
        "delay": st.sampled_from([0, 0, 0, 1, 5]),
        "priority": st.integers(0, 1),
        "queue": st.sampled_from(QUEUES),
        "task": st.sampled_from(TASKS),
    }
)


@dataclass(eq=False)
class Known:
    """What the model remembers of a job."""

    row: NewJob
    place: int
    before: "Known | None"
    held: bool
    run_at: int
    attempt: int = 0
    state: State = State.QUEUED
    has_let_go: bool = False
    suspect: bool = False
    claimed: Claimed | None = None
    published_at: int | None = None
    published_until: int | None = None

    @property
    def waits(self) -> bool:
        """Whether one before it in its request has still to have its first attempt."""
        return self.attempt == 0 and self.before is not None and not self.before.lets_go

    @property
    def lets_go(self) -> bool:
        """What was cancelled or has expired while it waited lets the next one go in its turn."""
        return self.has_let_go or (self.state.ended and not self.waits)

    @property
    def in_line(self) -> tuple[int, int, int]:
        return -self.row.priority, self.run_at, self.place

    def is_published(self, now: int) -> bool:
        return self.published_until is not None and self.published_until > now


@dataclass(eq=False)
class Worker:
    """What the model remembers of a worker."""

    id: str
    queues: tuple[str, ...] | None
    room: int
    lacks: tuple[str, ...] = ()
    unfit: set[str] = field(default_factory=set)
    is_leaving: bool = False
    is_alive: bool = True
    handed: Handed | None = None
    engine: str | None = None
    running: dict[str, Known] = field(default_factory=dict)

    @property
    def free(self) -> int:
        return max(0, self.room - len(self.running))

    def serves(self, job: Known) -> bool:
        return (
            self.is_here
            and not self.hands_over(job)
            and (self.queues is None or job.row.queue in self.queues)
        )

    def relays(self, job: Known) -> bool:
        return self.is_here and self.hands_over(job)

    def hands_over(self, job: Known) -> bool:
        return self.handed is not None and self.handed.queue in (None, job.row.queue)

    @property
    def is_here(self) -> bool:
        return self.is_alive and not self.is_leaving

    def knows(self, job: Known) -> bool:
        return self.serves(job) and job.row.task not in self.lacks

    def could(self, job: Known) -> bool:
        return self.knows(job) and job.row.id not in self.unfit


class Machine(RuleBasedStateMachine):
    place = STORES[0]

    def __init__(self):
        super().__init__()
        self.left = ExitStack()
        folder = Path(self.left.enter_context(TemporaryDirectory()))
        self.clock = ManualClock()
        self.store = open_store(self.left.enter_context(type(self).place(folder)), clock=self.clock)
        self.known: dict[str, Known] = {}
        self.workers: dict[str, Worker] = {}
        self.messages: list[tuple[str, int]] = []
        self.paused: set[str] = set()

    @initialize(
        room=st.integers(1, 2),
        handed=st.sampled_from([None, *HANDED]),
        of_relay=st.sampled_from([None, ()]),
        is_moving=st.booleans(),
    )
    def there_are_workers(self, room, handed, of_relay, is_moving):
        """One that runs every queue; or one that hands over, and its engine's; or both, while a queue is moved."""
        if handed is None or is_moving:
            self.enter(None, room)
        if handed is not None:
            self.enter(of_relay, room, handed=handed)
            self.enter((), 0, engine="rq")

    @initialize(many=st.lists(requests, max_size=3))
    def there_are_jobs(self, many):
        for fields in many:
            self.add(**fields)

    def teardown(self):
        self.store.close()
        self.left.close()

    # ---- jobs come and change

    @rule(fields=requests)
    def a_request_adds_jobs(self, fields):
        self.add(**fields)

    def add(self, length, held, expires, delay, **fields):
        now = self.clock.now()
        chain = new_chain(
            self.store,
            1 if delay else length,
            held_by="server" if held else None,
            expires_at=None if expires is None else now + expires * SECOND,
            run_at=now + delay * SECOND,
            **fields,
        )
        self.store.insert(chain)
        before = None
        for row in chain:
            before = self.known[row.id] = Known(row, len(self.known), before, held, row.run_at)

    @precondition(lambda self: self.known)
    @rule(data=st.data())
    def somebody_cancels(self, data):
        self.cancel(data.draw(st.sampled_from([*self.known.values()])))

    def cancel(self, job):
        self.store.cancel(JobFilter(ids=(job.row.id,)))
        if job.state is State.QUEUED:
            self.ends_queued(job, State.CANCELLED)

    def ends_queued(self, job, state):
        job.has_let_go |= not job.waits
        job.state, job.held, job.published_until = state, False, None

    @precondition(lambda self: self.known)
    @rule(data=st.data())
    def somebody_retries(self, data):
        job = data.draw(st.sampled_from([*self.known.values()]))
        if self.store.retry(JobFilter(ids=(job.row.id,))):
            job.has_let_go |= job.lets_go
            job.state, job.run_at, job.suspect = State.QUEUED, self.clock.now(), False
            if job.row.expires_at is not None and job.row.expires_at <= self.clock.now():
                job.row = job.row._replace(expires_at=None)

    @rule()
    def a_server_lets_go(self):
        self.store.unhold("server")
        for job in self.known.values():
            job.held = False

    @rule(queue=st.sampled_from(QUEUES), messages_come=st.booleans())
    def a_queue_is_paused(self, queue, messages_come):
        self.store.pause(queue)
        self.paused.add(queue)
        if messages_come and self.processes():
            self.what_must_not_start_is_dropped()

    @rule(queue=st.sampled_from(QUEUES))
    def a_queue_is_resumed(self, queue):
        self.resume(queue)

    def resume(self, queue):
        assert self.store.resume(queue) == (queue in self.paused)
        self.paused.discard(queue)

    @rule(seconds=st.integers(1, 4))
    def time_passes(self, seconds):
        self.clock.advance(timedelta(seconds=seconds))

    @rule()
    def the_late_expire(self):
        for one in self.store.expire():
            self.ends_queued(self.known[one.id], State.FAILED)

    # ---- workers come, say what they are, and go

    @precondition(lambda self: len(self.living()) < 4)
    @rule(queues=st.sampled_from([None, None, ("a",), ("b",), ()]), room=st.integers(0, 3))
    def a_worker_enters(self, queues, room):
        self.enter(queues, room)

    @precondition(lambda self: len(self.living()) < 4)
    @rule(queues=st.sampled_from([None, ("b",), ()]), handed=st.sampled_from(HANDED))
    def a_worker_that_hands_over_enters(self, queues, handed):
        self.enter(queues, 1, handed=handed)

    @precondition(lambda self: not self.processes())
    @rule()
    def a_process_of_an_engine_enters(self):
        self.enter((), 0, engine="rq")

    def processes(self):
        return [worker for worker in self.living() if worker.engine]

    def enter(self, queues, room, *, handed=None, engine=None):
        worker = Worker(f"w{len(self.workers)}", queues, room, handed=handed, engine=engine)
        told = {"handed": () if handed is None else (handed,), "engine": engine}
        self.store.enter(worker_record(worker.id, self.clock, queues=queues, room=0, **told))
        self.workers[worker.id] = worker
        self.report(worker)
        return worker

    def report(self, worker):
        left = {*worker.lacks, *worker.unfit}
        self.store.report(worker.id, room=worker.room, unknown=left, is_leaving=worker.is_leaving)

    @precondition(lambda self: self.living())
    @rule(data=st.data(), lacks=st.sampled_from([(), TASKS[:1], TASKS[1:], TASKS]))
    def a_worker_meets_newer_or_older_code(self, data, lacks):
        worker = self.one_of(data, self.living())
        worker.lacks = lacks
        self.report(worker)

    @precondition(lambda self: self.living() and self.known)
    @rule(data=st.data())
    def a_worker_leaves_a_job_that_does_not_fit_its_code(self, data):
        worker = self.one_of(data, self.living())
        worker.unfit ^= {data.draw(st.sampled_from([*self.known]))}
        self.report(worker)

    @precondition(lambda self: self.living())
    @rule(data=st.data(), room=st.integers(0, 3))
    def children_come_and_go(self, data, room):
        worker = self.one_of(data, self.living())
        worker.room = max(room, len(worker.running))
        self.report(worker)

    @precondition(lambda self: self.living())
    @rule(data=st.data(), is_leaving=seldom)
    def a_worker_is_told_to_leave(self, data, is_leaving):
        worker = self.one_of(data, self.living())
        worker.is_leaving |= is_leaving
        self.report(worker)

    @precondition(lambda self: self.living())
    @rule(data=st.data(), is_alive=seldom.map(lambda is_so: not is_so))
    def a_worker_dies(self, data, is_alive):
        self.one_of(data, self.living()).is_alive &= is_alive

    @rule()
    def the_dead_are_rescued(self):
        for worker in [each for each in self.workers.values() if not each.is_alive]:
            for one in self.store.rescue(worker.id):
                self.ended(worker, self.known[one.id], Lost(), one)

    def living(self):
        return [worker for worker in self.workers.values() if worker.is_alive]

    def one_of(self, data, workers):
        return self.workers[data.draw(st.sampled_from([worker.id for worker in workers]))]

    # ---- work

    @precondition(lambda self: self.living())
    @rule(data=st.data())
    def a_worker_looks(self, data):
        worker = self.one_of(data, self.living())
        if not worker.is_leaving:
            self.look(worker)

    def look(self, worker):
        """As it does by itself: it offers what it hands over, and claims the rest."""
        self.offer(worker)
        self.claim(worker)

    @precondition(lambda self: self.living())
    @rule(data=st.data())
    def a_worker_claims_a_suspect(self, data):
        worker = self.one_of(data, self.living())
        if not worker.is_leaving and worker.room:
            self.claim(worker, alone=True)

    def claim(self, worker, *, alone=False):
        for claimed in self.taken(worker, alone=alone):
            self.begun(worker, claimed)
            if alone:  # a suspect gets a child of its own where all are busy
                worker.room = max(worker.room, len(worker.running))
                self.report(worker)

    def begun(self, worker, claimed):
        job = self.known[claimed.id]
        assert claimed.attempt == job.attempt + 1
        job.attempt, job.state, job.claimed = claimed.attempt, State.RUNNING, claimed
        job.published_until = None
        worker.running[claimed.id] = job

    def taken(self, worker, *, alone):
        """What its next claim takes, for the slots that it has free."""
        limit = 1 if alone else worker.free
        return self.store.claim(
            worker.id,
            limit,
            queues=worker.queues,
            handed=[] if worker.handed is None else [worker.handed.queue],
            unknown=worker.lacks,
            unfit=worker.unfit,
            alone=alone,
        )

    @precondition(lambda self: any(worker.handed for worker in self.living()))
    @rule()
    def the_relays_look(self):
        for worker in self.living():
            if worker.handed and not worker.is_leaving:
                self.offer(worker)

    @rule()
    def everybody_looks(self):
        for worker in self.living():
            if not worker.is_leaving:
                self.look(worker)

    @precondition(lambda self: any(worker.running for worker in self.living()))
    @rule(data=st.data(), outcome=outcomes)
    def an_attempt_ends(self, data, outcome):
        worker = self.one_of(data, [worker for worker in self.living() if worker.running])
        self.end(worker, worker.running[data.draw(st.sampled_from([*worker.running]))], outcome)

    @precondition(lambda self: any(worker.running for worker in self.living()))
    @rule(data=st.data())
    def a_child_dies(self, data):
        worker = self.one_of(data, [worker for worker in self.living() if worker.running])
        for job in [*worker.running.values()]:
            self.end(worker, job, Crashed("signal 11", alone=False))

    def end(self, worker, job, outcome):
        [settled] = self.store.settle([Ended(job.row.id, job.attempt, outcome)])
        self.ended(worker, job, outcome, settled)

    def ended(self, worker: Worker, job: Known, outcome: Outcome, settled: Settled):
        ending = settled.ending
        assert ending is not None
        del worker.running[job.row.id]
        job.state, job.claimed = ending.state, None
        job.suspect = ending.deaths > 0
        job.has_let_go |= ending.state.ended or isinstance(outcome, LETS_GO)
        if ending.wait or not isinstance(outcome, KEEPS_ITS_PLACE):
            job.run_at = self.clock.now() + ending.wait

    # ---- what is handed over

    def offer(self, worker):
        """What is offered are those that the model would publish, in its order."""
        if worker.handed is None:
            return
        due = [job for queue in QUEUES for job in self.to_offer(queue, worker.handed)]
        offered = self.store.offer([worker.handed])
        assert [(each.id, each.attempt) for each in offered] == [(job.row.id, job.attempt + 1) for job in due]
        for job in due:
            self.publish(job)

    def to_offer(self, queue, handed) -> list[Known]:
        """Of one queue, the first in line that there is room for: those that run alone, last. As a claim sorts them."""
        if handed.queue not in (None, queue):
            return []
        line = [job for job in self.known.values() if job.row.queue == queue and self.may_be_offered(job)]
        room = max(0, handed.in_flight - self.in_flight(queue))
        return sorted(sorted(line, key=_in_line_to_offer)[:room], key=lambda job: job.in_line)

    def may_be_offered(self, job):
        return self.is_free(job) and not self.is_published(job)

    def is_published(self, job):
        return job.is_published(self.clock.now())

    def in_flight(self, queue):
        return sum(job.row.queue == queue and self.is_published(job) for job in self.known.values())

    def publish(self, job):
        """For as long as it has waited altogether, but a lease at least."""
        now = self.clock.now()
        if job.published_until is None:
            job.published_at = now
        job.published_until = now + max(LEASE // timedelta(microseconds=1), now - job.published_at)
        self.messages.append((job.row.id, job.attempt + 1))

    @precondition(lambda self: self.processes() and any(map(self.is_next, self.messages)))
    @rule(data=st.data())
    def a_message_is_delivered(self, data):
        """Soon or late, while it is under way or long taken for lost."""
        self.deliver(*data.draw(st.sampled_from([*filter(self.is_next, self.messages)])))

    @precondition(lambda self: self.processes())
    @rule()
    def copies_of_messages_are_delivered(self):
        self.what_must_not_start_is_dropped()

    def what_must_not_start_is_dropped(self):
        """Messages of jobs that run, have ended, go into another attempt, or must not start."""
        for message in self.messages:
            if not self.would_start(message):
                self.deliver(*message)

    def is_next(self, message):
        """Whether nobody has taken its attempt. It may be lost, taken back, or of a paused queue."""
        job_id, attempt = message
        return self.known[job_id].state is State.QUEUED and self.known[job_id].attempt + 1 == attempt

    def would_start(self, message):
        job = self.known[message[0]]
        return self.is_next(message) and not self.is_late(job) and job.row.queue not in self.paused

    def deliver(self, job_id, attempt):
        job, worker = self.known[job_id], self.processes()[0]
        is_next, would_start = self.is_next((job_id, attempt)), self.would_start((job_id, attempt))
        claimed = self.store.claim_published(worker.id, job_id, attempt, engine="rq")
        assert (claimed is not None) == would_start
        if claimed is not None:
            self.begun(worker, claimed)
        elif is_next:
            job.published_until = None

    @precondition(lambda self: self.messages)
    @rule(data=st.data(), whose=st.sampled_from(["message", "queue"]))
    def a_message_is_taken_back(self, data, whose):
        job_id, attempt = data.draw(st.sampled_from(self.messages))
        queue = self.known[job_id].row.queue
        if whose == "queue":
            self.store.distrust(queue)
        else:
            self.store.unpublish([(job_id, attempt)])
        for job in self.known.values():
            is_meant = (job.row.id, job.attempt + 1) == (job_id, attempt)
            if is_meant if whose == "message" else job.row.queue == queue:
                job.published_until = None

    # ---- what the model says

    def whys(self, job: Known) -> Iterator[Why]:
        """Each reason that alone would keep it from starting."""
        now = self.clock.now()
        if job.held:
            yield Why.HELD
        if job.waits:
            yield Why.WAITING
        if job.run_at > now:
            yield Why.NOT_DUE
        if self.is_late(job):
            yield Why.EXPIRED
        if job.row.queue in self.paused:
            yield Why.PAUSED
        yield from self.why_no_worker(job)

    def why_no_worker(self, job: Known) -> Iterator[Why]:
        """Its message is under way, or it is published with the next look, or it needs a worker that runs it itself."""
        relays = self.relays(job)
        if self.is_published(job):
            yield Why.PUBLISHED
        elif any(self.line_to_offer(job) < self.free_to_offer(job, relay) for relay in relays):
            return
        elif relays and not any(worker.serves(job) for worker in self.workers.values()):
            yield Why.NO_SLOT
        else:
            yield from self.why_no_worker_of_our_own(job)

    def relays(self, job: Known) -> list[Worker]:
        return [worker for worker in self.workers.values() if worker.relays(job)]

    def free_to_offer(self, job: Known, relay: Worker) -> int:
        return relay.handed.in_flight - self.in_flight(job.row.queue)

    def line_to_offer(self, job: Known) -> int:
        return sum(
            each.row.queue == job.row.queue
            and self.may_be_offered(each)
            and _in_line_to_offer(each) < _in_line_to_offer(job)
            for each in self.known.values()
        )

    def why_no_worker_of_our_own(self, job: Known) -> Iterator[Why]:
        able = self.able(job)
        if not any(worker.serves(job) for worker in self.workers.values()):
            yield Why.NO_WORKER
        elif not any(worker.knows(job) for worker in self.workers.values()):
            yield Why.UNKNOWN_TASK
        elif not able:
            yield Why.MISFIT
        elif not any(worker.room for worker in able):
            yield Why.NOT_READY
        elif job.suspect:
            yield Why.ALONE
        elif not any(self.ahead(job, worker) < worker.free for worker in able):
            yield Why.NO_SLOT

    def able(self, job: Known) -> list[Worker]:
        return [worker for worker in self.workers.values() if worker.could(job)]

    def ahead(self, job: Known, worker: Worker) -> int:
        return sum(
            each.in_line < job.in_line
            and each.suspect is job.suspect
            and self.may_be_offered(each)
            and worker.could(each)
            for each in self.known.values()
        )

    def is_free(self, job: Known) -> bool:
        """Whether nothing in itself and its queue stands in its way."""
        return (
            job.state is State.QUEUED
            and job.run_at <= self.clock.now()
            and not (job.held or job.waits or self.is_late(job) or job.row.queue in self.paused)
        )

    def is_late(self, job: Known) -> bool:
        return job.row.expires_at is not None and job.row.expires_at <= self.clock.now()

    # ---- what holds at any time

    def reasons(self, job: Known) -> list[Explanation]:
        around = self.store.circumstances(job.row.id)
        alive = tuple(hand for hand in around.hands if self.workers[hand.worker.id].is_alive)
        return explain(replace(around, hands=alive))

    @invariant()
    def the_reasons_are_those_of_the_model_and_of_what_a_look_would_take(self):
        self.check_what_a_look_would_take(self.the_reasons_are_those_of_the_model())

    def the_reasons_are_those_of_the_model(self) -> dict[str, list[Why]]:
        whys = {}
        for job in self.known.values():
            reasons = self.reasons(job)
            told = whys[job.row.id] = [reason.why for reason in reasons]
            if job.state is State.QUEUED:
                assert told == [*self.whys(job)]
                self.check_what_they_point_at(job, {reason.why: reason for reason in reasons})
            else:
                assert told == [Why.ENDED if job.state.ended else Why.RUNNING]
        return whys

    def check_what_they_point_at(self, job: Known, reasons: dict[Why, Explanation]):
        if Why.NOT_DUE in reasons:
            assert reasons[Why.NOT_DUE].until == to_instant(job.run_at)
        if Why.WAITING in reasons:
            assert reasons[Why.WAITING].cure == f"outlast jobs explain {self.in_front_of(job).row.id}"
        if Why.PUBLISHED in reasons:
            assert reasons[Why.PUBLISHED].until == to_instant(job.published_until)
            assert message_id(job.row.id, job.attempt + 1) in reasons[Why.PUBLISHED].text
        if Why.NO_SLOT in reasons or Why.ALONE in reasons:
            ready = [worker for worker in self.workers.values() if worker.could(job) and worker.room]
            ahead = min([self.ahead(job, worker) for worker in ready] or [self.line_to_offer(job)])
            line = (reasons.get(Why.NO_SLOT) or reasons[Why.ALONE]).text
            if not ready:
                most = max(relay.handed.in_flight for relay in self.relays(job))
                assert line.startswith(f"{most} message")
            told = {0: "It is next in line.", 1: "1 job is before it in line."}
            assert line.endswith(told.get(ahead, f" {ahead} jobs are before it in line."))

    def in_front_of(self, job: Known) -> Known:
        before = job.before
        while before.state.ended:
            before = before.before
        return before

    def check_what_a_look_would_take(self, whys: dict[str, list[Why]]):
        """What a claim would take or an offer publish has no reason, and every other job has one."""
        would_start, would_start_alone = set(), set()
        for worker in self.living():
            if worker.is_leaving or not worker.room:
                continue
            with undone(self.store):
                would_start.update(ids(self.taken(worker, alone=False)))
            with undone(self.store):
                would_start_alone.update(ids(self.taken(worker, alone=True)))
        for worker in self.living():
            if worker.handed and not worker.is_leaving:
                with undone(self.store):
                    would_start.update(ids(self.store.offer([worker.handed])))
        for job in self.known.values():
            if job.state is State.QUEUED:
                told = whys[job.row.id]
                assert (told == []) == (job.row.id in would_start)
                assert job.row.id not in would_start_alone - would_start or told == [Why.ALONE]

    # ---- when the last reason goes, it starts

    @precondition(lambda self: any(job.state is State.QUEUED for job in self.known.values()))
    @rule(data=st.data())
    def every_reason_is_taken_away(self, data):
        queued = [job_id for job_id, job in self.known.items() if job.state is State.QUEUED]
        job = self.known[data.draw(st.sampled_from(queued))]
        for _ in range(200):
            reasons = self.reasons(job)
            if not reasons:
                break
            if not self.take_away(job, reasons[0]):
                return
            self.the_reasons_are_those_of_the_model()
        assert job.state is State.QUEUED
        for worker in self.living():
            if self.may_be_offered(job) and not worker.is_leaving:
                self.look(worker)
        if self.is_published(job):
            self.let_its_message_come(job)
        assert job.state is State.RUNNING

    def let_its_message_come(self, job: Known):
        if not self.processes():
            self.enter((), 0, engine="rq")
        self.deliver(job.row.id, job.attempt + 1)

    def take_away(self, job: Known, reason: Explanation) -> bool:
        """Do what a reason says. False once the job has started, or can never start."""
        match reason.why:
            case Why.HELD:
                self.a_server_lets_go()
            case Why.WAITING:
                self.let_have_its_attempt(self.in_front_of(job))
            case Why.NOT_DUE:
                self.clock.advance(timedelta(microseconds=to_micros(reason.until) - self.clock.now()))
            case Why.EXPIRED:
                self.the_late_expire()
                assert job.state is State.FAILED
                return False
            case Why.PAUSED:
                self.resume(job.row.queue)
            case Why.PUBLISHED if self.processes():
                self.let_its_message_come(job)
                assert job.state is State.RUNNING
                return False
            case Why.PUBLISHED:
                self.clock.advance(timedelta(microseconds=to_micros(reason.until) - self.clock.now()))
            case Why.NO_SLOT if self.relays(job) and not self.able(job):
                self.take_what_is_under_way(job.row.queue)
                return job.state is State.QUEUED
            case _:
                return self.give_it_a_worker(job, reason.why)
        return True

    def give_it_a_worker(self, job: Known, why: Why) -> bool:
        able = self.able(job)
        match why:
            case Why.NO_WORKER:
                self.enter((job.row.queue,), 1)
            case Why.UNKNOWN_TASK:
                worker = next(each for each in self.workers.values() if each.serves(job))
                worker.lacks = ()
                self.report(worker)
            case Why.MISFIT:
                worker = next(each for each in self.workers.values() if each.knows(job))
                worker.unfit.discard(job.row.id)
                self.report(worker)
            case Why.NOT_READY:
                able[0].room = 1
                self.report(able[0])
            case Why.NO_SLOT:
                self.make_progress(able)
                return job.state is State.QUEUED
            case Why.ALONE:
                return self.run_suspects_until(job, next(worker for worker in able if worker.room))
        return True

    def take_what_is_under_way(self, queue: str):
        """One after the other, and what is before it in line."""
        for relay in self.living():
            if relay.handed and not relay.is_leaving:
                self.offer(relay)
        for each in [*self.known.values()]:
            if each.row.queue == queue and self.is_published(each):
                self.let_its_message_come(each)
                if each.state is State.RUNNING:
                    self.end(self.processes()[0], each, Succeeded())

    def let_have_its_attempt(self, job: Known):
        if job.state is State.RUNNING:
            worker = next(each for each in self.workers.values() if job.row.id in each.running)
            self.end(worker, job, Succeeded())
        else:
            self.cancel(job)

    def make_progress(self, workers: list[Worker]):
        for worker in workers:
            self.claim(worker)
            for job in [*worker.running.values()]:
                self.end(worker, job, Succeeded())

    def run_suspects_until(self, job: Known, worker: Worker) -> bool:
        """Those before it first. False: it has been started."""
        while job.state is State.QUEUED:
            self.claim(worker, alone=True)
            others = [each for each in worker.running.values() if each is not job]
            for other in others:
                self.end(worker, other, Succeeded())
        assert job.state is State.RUNNING
        return False


def _in_line_to_offer(job: Known) -> tuple:
    return job.suspect, job.in_line


@in_time
@pytest.mark.parametrize("place", STORES, ids=name_of)
def test_every_reason_is_true_and_when_the_last_one_goes_the_job_starts(place):
    run(Machine, place, histories=50)
