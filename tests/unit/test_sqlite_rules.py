"""The rules that the database itself keeps: each is broken once, with SQL of our own."""

import re
import sqlite3
from importlib.resources import files

import pytest

from outlast.job import State
from outlast.store import JobFilter, open_store
from tests.contract.making import end, put, take, worker_record

BREACHES = {
    "a_state_is_one_of_five": ("queued", "state = 'lost'"),
    "a_running_job_has_a_worker_and_no_other_has": ("running", "worker = NULL"),
    "a_running_job_has_begun_an_attempt": ("running", "attempt = 0"),
    "a_ready_job_is_queued_and_free": ("queued", "waiting = 1"),
    "a_suspect_is_ready_only_to_run_alone": ("queued", "deaths = 1"),
    "only_a_queued_job_is_held": ("running", "held_by = 'server'"),
    "an_ended_job_has_its_time_and_no_other_has": ("succeeded", "finished_at = NULL"),
    "a_failed_job_has_a_reason_and_no_other_has": ("succeeded", "reason = 'error'"),
    "only_a_running_job_has_a_cancel_pending": ("queued", "cancel_requested_at = 1"),
}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "outlast.db"


@pytest.fixture
def put_in(path):
    """Makes a job in a state; its id."""
    store = open_store(f"sqlite:///{path}")
    store.enter(worker_record("w1", store.clock))

    def put_in(state):
        job_id = put(store)
        if state != "queued":
            job = take(store)
            if state == "succeeded":
                end(store, job)
        assert store.find(JobFilter(state=State(state)))
        return job_id

    yield put_in
    store.close()


@pytest.mark.parametrize("rule", BREACHES)
def test_a_rule_is_kept_by_the_database_and_its_name_says_which(path, put_in, rule):
    state, change = BREACHES[rule]
    job_id = put_in(state)

    with (
        sqlite3.connect(path, isolation_level=None) as connection,
        pytest.raises(sqlite3.IntegrityError, match=f"CHECK constraint failed: {rule}"),
    ):
        connection.execute(f"UPDATE jobs SET {change} WHERE id = ?", (job_id,))
    connection.close()


def test_every_rule_is_broken_here():
    script = files("outlast.store").joinpath("migrations", "sqlite_0001.sql").read_text("utf-8")

    assert set(re.findall(r"CONSTRAINT (\w+)", script)) == BREACHES.keys()
