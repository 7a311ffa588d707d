"""`outlast jobs wait`: what it waits for, how it ends."""

import threading

import pytest

from outlast.job import Ended, Succeeded
from tests.cli.stored import made, new_job, run


def test_jobs_that_have_ended_are_not_waited_for(ids, outlast):
    ran = outlast("jobs", "wait", ids["succeeded"])

    assert ran.code == 0
    assert f"{ids['succeeded']} succeeded" in ran.out


@pytest.mark.parametrize("view", ["failed", "cancelled"])
def test_one_that_failed_or_was_cancelled_makes_it_1(view, ids, outlast):
    ran = outlast("jobs", "wait", ids["succeeded"], ids[view])

    assert ran.code == 1
    assert f"{ids[view]} {view}" in ran.out
    assert f"outlast jobs show {ids[view][-12:]}" in ran.err


def test_a_timeout_is_4_and_stops_nothing(ids, store, outlast):
    ran = outlast("jobs", "wait", ids["running"], ids["failed"], "--timeout", "50ms", "--json")

    assert ran.code == 4
    assert [job["state"] for job in ran.json["jobs"]] == ["running", "failed"]
    assert "1 job had not ended after 0.05 s; nothing was stopped" in ran.err
    assert store.get(ids["running"]).state == "running"


def test_where_no_worker_is_alive_it_says_so(ids, outlast):
    assert "No worker is alive" in outlast("jobs", "wait", ids["queued"], "--timeout", "0s").err


def test_it_ends_when_the_last_job_does(store, outlast, tmp_path):
    job_id = run(store, new_job())

    def settle() -> None:
        other = made(tmp_path / "outlast.db")
        other.settle([Ended(job_id, 1, Succeeded())])
        other.close()

    settling = threading.Timer(0.1, settle)
    settling.start()
    ran = outlast("jobs", "wait", job_id, "--timeout", "30s", "--json")
    settling.join()

    assert ran.code == 0
    assert ran.json["jobs"][0]["state"] == "succeeded"
