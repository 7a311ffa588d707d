"""Random events against a small model of what a store must keep, whatever happens in whatever order.

P3: no job is lost, and none ends twice. P4: an attempt number only rises, and a stale attempt ends nothing. P7: of the
jobs of one request none is started before those before it have had their first attempt, or have ended without one.
"""

from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)

from outlast.clock import ManualClock
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
from tests.stores import STORES, name_of

SECOND = 1_000_000
WORKERS = ("w1", "w2")
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


@dataclass
class Known:
    """What the model remembers of a job."""

    before: str | None = None
    attempt: int = 0
    state: State = State.QUEUED
    expires_at: int | None = None
    has_let_go: bool = False
    running_under: str | None = None
    held_by: str | None = None
    stale: list[Claimed] = field(default_factory=list)


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
        for worker in WORKERS:
            self.stores[0].enter(worker_record(worker, self.clock))

    def teardown(self):
        self.everything_runs_out()
        for store in self.stores:
            store.close()
        self.left.close()

    # ---- what happens

    @rule(
        target=jobs,
        length=st.integers(1, 4),
        held=st.booleans(),
        expires=st.booleans(),
        fields=st.fixed_dictionaries(
            {
                "at_most_once": st.integers(0, 1),
                "priority": st.integers(0, 1),
                "queue": st.sampled_from(["a", "b"]),
                "max_attempts": st.integers(1, 3),
            }
        ),
    )
    def a_request_adds_jobs(self, length, held, expires, fields):
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
            self.known[job.id] = Known(before, held_by=job.held_by, expires_at=job.expires_at)
            before = job.id
        return multiple(*(job.id for job in chain))

    @rule(target=jobs, seconds=st.integers(1, 9))
    def a_delayed_job_is_added(self, seconds):
        job = new_job(self.stores[1], delay=timedelta(seconds=seconds))
        self.stores[1].insert([job])
        self.known[job.id] = Known()
        return job.id

    @rule(number=st.integers(0, 1), limit=st.integers(1, 3), alone=st.booleans())
    def a_worker_claims(self, number, limit, alone):
        self.claim(number, limit, alone=alone)

    def claim(self, number, limit, *, alone):
        for job in self.stores[number].claim(WORKERS[number], limit, alone=alone):
            known = self.known[job.id]
            assert known.state is State.QUEUED
            assert known.held_by is None
            assert known.expires_at is None or known.expires_at > self.clock.now()
            assert job.attempt == known.attempt + 1
            assert known.attempt > 0 or not self.waits(known)
            known.attempt, known.state, known.running_under = job.attempt, State.RUNNING, WORKERS[number]
            self.running[job.id] = job

    def waits(self, known):
        """Whether one before it in its request has still to have its first attempt."""
        before = self.known.get(known.before) or self.pruned.get(known.before)
        return before is not None and not self.lets_go(before)

    def lets_go(self, known):
        """What was cancelled or has expired while it waited lets the next one go in its turn."""
        return known.has_let_go or (known.state.ended and not self.waits(known))

    def ends_queued(self, known, state):
        known.has_let_go |= not self.waits(known)
        known.state, known.held_by = state, None

    @precondition(lambda self: self.running)
    @rule(data=st.data(), outcome=outcomes, number=st.integers(0, 1))
    def an_attempt_ends(self, data, outcome, number):
        self.end(data.draw(st.sampled_from(sorted(self.running))), outcome, number)

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

    @rule(job_id=jobs)
    def somebody_cancels(self, job_id):
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

    @rule()
    def the_late_expire(self):
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
        told = {record.id: record for record in self.stores[0].find(limit=len(self.known) + 1)}
        assert told.keys() == self.known.keys()
        for job_id, known in self.known.items():
            record = told[job_id]
            assert (record.state, record.attempt) == (known.state, known.attempt)
            assert record.worker == known.running_under

    @invariant()
    def the_counts_are_those_of_the_jobs(self):
        records = self.stores[1].find(limit=len(self.known) + 1)
        counts = self.stores[1].counts()
        assert sum(counts.values()) == len(records)
        for view in ("held", "waiting", "scheduled", "retrying", "succeeded", "failed", "cancelled"):
            assert counts[view] == sum(record.view == view for record in records)

    def everything_runs_out(self):
        """Nothing is stuck: with time and a worker, every job ends."""
        self.stores[0].unhold("server")
        for known in self.known.values():
            known.held_by = None
        for _ in range(len(self.known) + 1):
            for job_id in list(self.running):
                self.end(job_id, Succeeded(), 0)
            self.clock.advance(timedelta(hours=2))
            self.claim(0, 100, alone=False)
            self.claim(0, 100, alone=True)
            self.expire()
        self.no_job_is_lost_and_each_is_where_the_model_says()
        assert all(known.state.ended for known in self.known.values())


@pytest.mark.parametrize("place", STORES, ids=name_of)
def test_a_store_keeps_its_promises_whatever_happens(place):
    machine = type("Machine", (Machine,), {"place": staticmethod(place)})

    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
