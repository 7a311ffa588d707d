"""Random events against a small model of what a store must keep, whatever happens in whatever order.

P3: no job is lost, and none ends twice. P4: an attempt number only rises, and a stale attempt ends nothing. P7: of the
jobs of one request none is started before those before it have had their first attempt, or have ended without one.

All this whoever runs them: workers that claim, and an engine's that get messages, which come late, twice or never. Of
many copies of a message one gets the job; one that is lost is published again, with the same attempt; no more are under
way than may be.
"""

from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
)

from outlast.clock import ManualClock, to_instant
from outlast.handed import Handed, is_among, message_id
from outlast.job import (
    Claimed,
    Crashed,
    Ended,
    Erred,
    Lost,
    Released,
    Snoozed,
    State,
    Stopped,
    Succeeded,
    TimedOut,
)
from outlast.store import JobFilter, open_store
from tests.contract.making import new_chain, new_job, worker_record
from tests.histories import in_time, run
from tests.stores import STORES, name_of

SECOND = 1_000_000
WORKERS = ("w1", "w2")
QUEUES = ("a", "b", "default")
LEASE = timedelta(seconds=4)
LETS_GO = (Succeeded, Erred, TimedOut, Crashed, Lost, Snoozed)

outcomes = st.sampled_from(
    [
        Succeeded(),
        Succeeded("1"),
        Erred("no", "tb"),
        Erred("no", "tb", delay=0),
        Erred("no", "tb", again=False),
        TimedOut(SECOND),
        Crashed("signal 11", alone=False),
        Crashed("signal 11", alone=True),
        Released(),
        Released(begun=False),
        Snoozed(SECOND),
        Stopped(),
    ]
)
seldom = st.sampled_from([False, False, False, True])
requests = st.fixed_dictionaries(
    {
        "length": st.integers(1, 4),
        "held": seldom,
        "expires": st.booleans(),
        "at_most_once": seldom.map(int),
        "priority": st.integers(0, 1),
        "queue": st.sampled_from(["a", "b"]),
        "max_attempts": st.integers(1, 3),
    }
)


@dataclass
class Known:
    """What the model remembers of a job."""

    before: str | None = None
    queue: str = "default"
    attempt: int = 0
    state: State = State.QUEUED
    expires_at: int | None = None
    has_let_go: bool = False
    running_under: str | None = None
    held_by: str | None = None
    published_at: int | None = None
    published_until: int | None = None
    engine: str | None = None
    stale: list[Claimed] = field(default_factory=list)

    def is_published(self, now: int) -> bool:
        return self.published_until is not None and self.published_until > now


class Machine(RuleBasedStateMachine):
    jobs = Bundle("jobs")
    place = STORES[0]

    def __init__(self):
        super().__init__()
        self.left = ExitStack()
        folder = Path(self.left.enter_context(TemporaryDirectory()))
        self.clock = ManualClock()
        url = self.left.enter_context(type(self).place(folder))
        self.stores = [open_store(url, clock=self.clock) for _ in WORKERS]
        self.known: dict[str, Known] = {}
        self.pruned: dict[str, Known] = {}
        self.running: dict[str, Claimed] = {}
        self.messages: list[tuple[str, int]] = []
        self.claims: set[tuple[str, int]] = set()
        for worker in WORKERS:
            self.stores[0].enter(worker_record(worker, self.clock))

    def teardown(self):
        self.everything_runs_out()
        for store in self.stores:
            store.close()
        self.left.close()

    # ---- what happens

    @initialize(target=jobs, fields=st.lists(requests, min_size=1, max_size=3))
    def there_are_jobs(self, fields):
        return multiple(*(job_id for each in fields for job_id in self.add(**each)))

    @rule(target=jobs, fields=requests)
    def a_request_adds_jobs(self, fields):
        return multiple(*self.add(**fields))

    def add(self, length, held, expires, **fields):
        chain = new_chain(
            self.stores[0],
            length,
            held_by="server" if held else None,
            expires_at=self.clock.now() + 5 * SECOND if expires else None,
            **fields,
        )
        self.stores[0].insert(chain)
        before = None
        for job in chain:
            self.known[job.id] = Known(before, job.queue, held_by=job.held_by, expires_at=job.expires_at)
            before = job.id
        return [job.id for job in chain]

    @rule(target=jobs, seconds=st.integers(1, 9))
    def a_delayed_job_is_added(self, seconds):
        job = new_job(self.stores[1], delay=timedelta(seconds=seconds))
        self.stores[1].insert([job])
        self.known[job.id] = Known()
        return job.id

    @rule(
        number=st.integers(0, 1),
        limit=st.integers(1, 3),
        handed=st.sampled_from([(), (), ("a",), (None,)]),
        alone=st.booleans(),
    )
    def a_worker_claims(self, number, limit, handed, alone):
        self.claim(number, limit, handed=handed, alone=alone)

    def claim(self, number, limit, *, handed=(), alone):
        for job in self.stores[number].claim(WORKERS[number], limit, handed=handed, alone=alone):
            known = self.known[job.id]
            assert not is_among(known.queue, handed)
            assert not known.is_published(self.clock.now())
            self.begun(job, known, number, engine=None)

    def begun(self, job, known, number, *, engine):
        """Whoever took it, might take it."""
        assert self.may_start(known)
        assert job.attempt == known.attempt + 1
        assert (job.id, job.attempt) not in self.claims
        self.claims.add((job.id, job.attempt))
        known.attempt, known.state, known.running_under = job.attempt, State.RUNNING, WORKERS[number]
        known.engine, known.published_until = engine, None
        self.running[job.id] = job

    def may_start(self, known):
        return (
            known.state is State.QUEUED
            and known.held_by is None
            and not self.is_late(known)
            and (known.attempt > 0 or not self.waits(known))
        )

    def is_late(self, known):
        return known.expires_at is not None and known.expires_at <= self.clock.now()

    # ---- what is handed over

    @rule(
        queue=st.sampled_from(["a", "b", None, None]),
        in_flight=st.integers(1, 4),
        more=st.integers(0, 2),
        leave=st.sampled_from([(), (), (), ("a",)]),
    )
    def two_relays_offer(self, queue, in_flight, more, leave):
        """The second may have more under way, and publishes nothing again that the first has published."""
        for number, most in enumerate((in_flight, in_flight + more)):
            self.offer(number, Handed(queue=queue, engine="rq", in_flight=most, lease=LEASE), leave)

    def offer(self, number, handed, leave=()):
        offered = self.stores[number].offer([handed], leave=leave)
        for job in offered:
            known = self.known[job.id]
            assert job.queue == known.queue
            assert is_among(known.queue, [handed.queue])
            assert known.queue not in leave
            assert self.may_start(known)
            assert not known.is_published(self.clock.now())
            assert job.attempt == known.attempt + 1
            self.publish(known)
            self.messages.append((job.id, job.attempt))
        for queue in QUEUES:
            if is_among(queue, [handed.queue]) and queue not in leave:
                self.check_what_is_under_way(queue, handed, [job for job in offered if job.queue == queue])

    def publish(self, known):
        """As long as it has waited altogether, but a lease at least."""
        now, lease = self.clock.now(), LEASE // timedelta(microseconds=1)
        if known.published_until is None:
            known.published_at = now
        known.engine, known.published_until = "rq", now + max(lease, now - known.published_at)

    def check_what_is_under_way(self, queue, handed, offered):
        """No more than may be; and none that was lost is left out while there is room."""
        under_way = sum(self.is_under_way(known) for known in self.known.values() if known.queue == queue)
        assert under_way <= handed.in_flight or not offered
        lost = [
            known
            for known in self.known.values()
            if known.queue == queue and known.published_until is not None and self.may_start(known)
        ]
        assert under_way >= handed.in_flight or all(map(self.is_under_way, lost))

    def is_under_way(self, known):
        return known.is_published(self.clock.now())

    @precondition(lambda self: any(map(self.would_start, self.messages)))
    @rule(data=st.data(), number=st.integers(0, 1))
    def messages_are_delivered(self, data, number):
        """Soon or late; the twin of each finds its job taken."""
        ready = sorted({*filter(self.would_start, self.messages)})
        for message in data.draw(st.lists(st.sampled_from(ready), min_size=1, unique=True)):
            self.deliver(message, number)
            self.deliver(message, 1 - number)

    def would_start(self, message):
        return self.is_next(message) and self.may_start(self.known[message[0]])

    def is_next(self, message):
        """Whether it is of the next attempt of its job."""
        job_id, attempt = message
        return job_id in self.known and self.known[job_id].attempt + 1 == attempt

    def deliver(self, message, number, *, is_known=True):
        worker = WORKERS[number] if is_known else "nobody"
        job_id, attempt = message
        is_next, would_start = self.is_next(message), self.would_start(message)
        job = self.stores[number].claim_published(worker, job_id, attempt, engine="rq")
        assert (job is not None) == (is_known and would_start)
        if job is not None:
            assert (job.id, job.attempt) == message
            self.begun(job, self.known[job_id], number, engine="rq")
        elif is_next:
            self.known[job_id].published_until = None

    @precondition(lambda self: self.messages)
    @rule(
        data=st.data(),
        what=st.sampled_from(["not taken", "forgotten", "entrusted", "strange worker"]),
    )
    def something_becomes_of_a_message(self, data, what):
        message = data.draw(st.sampled_from(self.messages))
        if what == "not taken":
            self.is_not_taken(message)
        elif what == "forgotten":
            self.may_be_forgotten(data.draw(st.sampled_from(QUEUES)))
        elif what == "entrusted":
            self.entrust(message, data.draw(st.integers(1, 20)))
        else:
            self.deliver(message, 0, is_known=False)

    def is_not_taken(self, message):
        """By the broker. It may be an old one: what is under way of its job now is another message."""
        self.stores[1].unpublish([message])
        if self.is_next(message):
            self.known[message[0]].published_until = None

    def may_be_forgotten(self, queue):
        gone = [
            known
            for known in self.known.values()
            if known.queue == queue and known.published_until is not None
        ]
        assert self.stores[1].distrust(queue) == len(gone)
        for known in gone:
            known.published_until = None

    def entrust(self, message, seconds):
        """What is under way no longer is not prolonged."""
        job_id, attempt = message
        self.stores[0].entrust(job_id, attempt, timedelta(seconds=seconds), note="its end is to come")
        if self.is_next(message) and self.known[job_id].published_until is not None:
            self.known[job_id].published_until = self.clock.now() + seconds * SECOND
            assert self.stores[0].get(job_id).note == "its end is to come"

    @rule(number=st.integers(0, 1), queue=st.sampled_from(QUEUES), outcome=outcomes)
    def an_engine_tells_an_end(self, number, queue, outcome):
        told = self.entrusted(queue)
        if told and self.may_start(self.known[told[0][0]]):
            self.deliver(told[0][:2], number)
            self.end(told[0][0], outcome, number)

    def entrusted(self, queue):
        """What is under way, that first which ends first."""
        told = self.stores[0].entrusted(queue)
        under_way = {
            (job_id, known.attempt + 1)
            for job_id, known in self.known.items()
            if known.queue == queue and self.is_under_way(known)
        }
        assert {(job_id, attempt) for job_id, attempt, _ in told} == under_way
        ends = [self.known[job_id].published_until for job_id, *_ in told]
        assert ends == sorted(ends)
        return told

    # ---- what stands in the way, and who goes first

    def waits(self, known):
        """Whether one before it in its request has still to have its first attempt."""
        before = self.known.get(known.before) or self.pruned.get(known.before)
        return before is not None and not self.lets_go(before)

    def lets_go(self, known):
        """What was cancelled or has expired while it waited lets the next one go in its turn."""
        return known.has_let_go or (known.state.ended and not self.waits(known))

    def ends_queued(self, known, state):
        known.has_let_go |= not self.waits(known)
        known.state, known.held_by, known.published_until = state, None, None

    @precondition(lambda self: self.running)
    @rule(data=st.data(), outcome=outcomes, number=st.integers(0, 1))
    def attempts_end(self, data, outcome, number):
        running = st.sampled_from(sorted(self.running))
        for job_id in data.draw(st.lists(running, min_size=1, max_size=3, unique=True)):
            self.end(job_id, outcome, number)

    def end(self, job_id, outcome, number):
        job = self.running.pop(job_id)
        [settled] = self.stores[number].settle([Ended(job_id, job.attempt, outcome)])
        assert settled.ending is not None
        self.ended(job, outcome, settled.ending.state)

    def ended(self, job, outcome, state):
        known = self.known[job.id]
        known.state, known.running_under = state, None
        known.has_let_go |= state.ended or isinstance(outcome, LETS_GO)
        known.stale.append(job)

    @rule(outcome=outcomes, number=st.integers(0, 1))
    def what_is_stale_changes_nothing(self, outcome, number):
        self.stale_attempts_try_to_end(outcome, number)
        self.stale_messages_come_and_go(number)

    def stale_messages_come_and_go(self, number):
        """Old ones, and those of jobs that were cancelled, have expired or are running."""
        for message in {*self.messages}:
            if not self.would_start(message):
                self.deliver(message, number)
                self.entrust(message, 60)
                self.is_not_taken(message)

    def stale_attempts_try_to_end(self, outcome, number):
        stale = [job for known in self.known.values() for job in known.stale]
        settled = self.stores[number].settle([Ended(job.id, job.attempt, outcome) for job in stale])
        assert all(one.ending is None for one in settled)

    @rule(number=st.integers(0, 1))
    def a_worker_dies(self, number):
        dead, store = WORKERS[number], self.stores[1 - number]
        mine = {job_id for job_id, known in self.known.items() if known.running_under == dead}
        settled = store.rescue(dead)
        assert {one.id for one in settled} == mine
        for one in settled:
            self.ended(self.running.pop(one.id), Lost(), one.ending.state)
        store.enter(worker_record(dead, self.clock))

    @rule(job_ids=st.lists(jobs, min_size=1, max_size=3))
    def somebody_cancels(self, job_ids):
        for job_id in job_ids:
            self.cancel(job_id)

    def cancel(self, job_id):
        known = self.known.get(job_id) or Known(state=State.SUCCEEDED)
        touched = self.stores[0].cancel(JobFilter(ids=(job_id,)))
        assert len(touched) == (known.state in (State.QUEUED, State.RUNNING))
        if known.state is State.QUEUED:
            self.ends_queued(known, State.CANCELLED)

    @rule(job_id=jobs)
    def somebody_retries(self, job_id):
        known = self.known.get(job_id) or Known(state=State.SUCCEEDED)
        queued = self.stores[1].retry(JobFilter(ids=(job_id,)))
        assert queued == ([job_id] if known.state in (State.FAILED, State.CANCELLED) else [])
        if queued:
            known.has_let_go |= self.lets_go(known)
            known.state = State.QUEUED
            if known.expires_at is not None and known.expires_at <= self.clock.now():
                known.expires_at = None

    @rule()
    def a_server_lets_go(self):
        held = [known for known in self.known.values() if known.held_by]
        assert self.stores[0].unhold("server") == len(held)
        for known in held:
            known.held_by = None

    @rule(seconds=st.integers(-3, 9))
    def time_passes(self, seconds):
        self.clock.advance(timedelta(seconds=seconds))

    @rule(number=st.integers(0, 1))
    def the_late_expire(self, number):
        """Their messages may come before anybody has looked."""
        for message in {*self.messages}:
            if self.is_next(message) and self.is_late(self.known[message[0]]):
                self.deliver(message, number)
        self.expire()

    def expire(self):
        for one in self.stores[1].expire():
            known = self.known[one.id]
            assert known.state is State.QUEUED
            self.ends_queued(known, State.FAILED)

    @rule()
    def the_old_are_pruned(self):
        count = self.stores[0].prune(timedelta(seconds=1)).jobs
        left = {record.id for record in self.stores[0].find(limit=len(self.known) + 1)}
        gone = self.known.keys() - left
        assert len(gone) == count
        for job_id in gone:
            self.pruned[job_id] = self.known.pop(job_id)
            assert self.pruned[job_id].state.ended

    # ---- what holds at any time

    @invariant()
    def no_job_is_lost_and_each_is_where_the_model_says(self):
        records = self.stores[0].find(limit=len(self.known) + 1)
        assert {record.id for record in records} == self.known.keys()
        for record in records:
            known = self.known[record.id]
            assert (record.state, record.attempt) == (known.state, known.attempt)
            assert record.worker == known.running_under
            self.check_where_its_message_is(record, known)
        self.check_that_the_counts_are_those_of(records)
        self.entrusted("a")

    def check_where_its_message_is(self, record, known):
        until = known.published_until
        assert record.published_until == (None if until is None else to_instant(until))
        assert (record.view == "published") == self.is_under_way(known)
        assert record.engine == known.engine
        if until is not None:
            assert record.engine_id == message_id(record.id, known.attempt + 1)
            assert record.published_at == to_instant(known.published_at)
        elif known.engine and known.state is State.RUNNING:
            assert record.engine_id == message_id(record.id, known.attempt)

    def check_that_the_counts_are_those_of(self, records):
        words = {"queued": "ready", "cancelling": "running"}
        views = [(record.queue, words.get(record.view, record.view)) for record in records]
        assert Counter(self.stores[1].counts()) == Counter(view for _, view in views)
        live = [place for place, record in zip(views, records, strict=True) if not record.state.ended]
        assert {(each.queue, each.view): each.jobs for each in self.stores[1].depths()} == Counter(live)

    def everything_runs_out(self):
        """Nothing is stuck: with time, a worker, and an engine for one of the queues, every job ends."""
        self.stores[0].unhold("server")
        for known in self.known.values():
            known.held_by = None
        for _ in range(len(self.known) + 1):
            for job_id in list(self.running):
                self.end(job_id, Succeeded(), 0)
            self.clock.advance(timedelta(hours=2))
            self.claim(0, 100, handed=("a",), alone=False)
            self.claim(0, 100, handed=("a",), alone=True)
            self.an_engine_runs_what_is_due()
            self.expire()
        self.stale_messages_come_and_go(1)
        self.no_job_is_lost_and_each_is_where_the_model_says()
        assert all(known.state.ended for known in self.known.values())

    def an_engine_runs_what_is_due(self):
        seen = len(self.messages)
        self.offer(1, Handed(queue="a", engine="rq", in_flight=100, lease=LEASE))
        for message in self.messages[seen:]:
            self.deliver(message, 1)


@in_time
@pytest.mark.parametrize("place", STORES, ids=name_of)
def test_a_store_keeps_its_promises_whatever_happens(place):
    run(Machine, place, histories=70)
