"""Each event against a job in each state: it acts where the machine says that it may, and nowhere else."""

from datetime import timedelta

import pytest

from outlast.job import Ended, Erred, Released, State, Stopped, Succeeded
from outlast.lifecycle import TRANSITIONS
from outlast.store import JobFilter
from tests.contract.making import end, put, take

OUTCOMES = {
    "succeed": Succeeded(),
    "err": Erred("no", "tb"),
    "release": Released(),
    "stop": Stopped(),
}


def put_in(store, state):
    """A job in a state, with an expiry ahead; its id."""
    job_id = put(store, expires_at=store.clock.now() + 1_000_000)
    if state is State.QUEUED:
        return job_id
    if state is State.CANCELLED:
        store.cancel(JobFilter(ids=(job_id,)))
        return job_id
    job = take(store)
    if state is not State.RUNNING:
        end(store, job, Succeeded() if state is State.SUCCEEDED else Erred("no", "tb", again=False))
    return job_id


def happen(store, event, job_id):
    if event == "claim":
        store.claim("w1", 1)
    elif event == "cancel":
        store.cancel(JobFilter(ids=(job_id,)))
    elif event == "expire":
        store.clock.advance(timedelta(seconds=1))
        store.expire()
    elif event == "retry":
        store.retry(JobFilter(ids=(job_id,)))
    else:
        if event == "stop":
            store.cancel(JobFilter(ids=(job_id,), state=State.RUNNING))
        store.settle([Ended(job_id, store.get(job_id).attempt, OUTCOMES[event])])


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("event", TRANSITIONS)
def test_an_event_acts_where_the_machine_lets_it(store, event, state):
    before, after = TRANSITIONS[event]
    job_id = put_in(store, state)
    happen(store, event, job_id)

    assert store.get(job_id).state in (after if state in before else {state})
