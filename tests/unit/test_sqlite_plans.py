"""How SQLite runs the statements: by index, and at the same cost whatever has piled up (P12)."""

import re

import pytest

from outlast.clock import ManualClock
from outlast.job import Ended, State, Succeeded
from outlast.store import JobFilter, open_store
from outlast.store.sqlite import SQL, _conditions
from tests.contract.making import new_job, put, take, worker_record

CLAIMS = ["next_ready", "queues_with_ready", "any_ready", "promote", "next_due", "claim"]


@pytest.fixture
def store():
    store = open_store("sqlite://", clock=ManualClock())
    store.enter(worker_record("w1", store.clock))
    yield store
    store.close()


def plan(store, sql):
    named = dict.fromkeys(re.findall(r":(\w+)", sql))
    rows = store._execute(f"EXPLAIN QUERY PLAN {sql}", named or [None] * sql.count("?"))
    return [row[3] for row in rows]


def statements():
    for name, sql in SQL.items():
        if "{ready}" in sql:
            for ready in ("1", "2"):
                yield pytest.param(sql.replace("{ready}", ready), id=f"{name}, ready={ready}")
        elif "{which}" in sql:
            for state in State:
                for ids in (None, ("one",)):
                    which = _conditions(JobFilter(ids=ids), state)[0]
                    by = " and ids" if ids else ""
                    yield pytest.param(sql.replace("{which}", which), id=f"{name}, {state}{by}")
        else:
            yield pytest.param(sql, id=name)


# What has succeeded has no index of its own: it is most of all there is, and its newest are found by looking.
@pytest.mark.parametrize("sql", [sql for sql in statements() if not sql.id.endswith("succeeded")])
def test_no_statement_reads_through_all_jobs(store, sql):
    assert [step for step in plan(store, sql) if re.match(r"SCAN jobs(?! USING .*INDEX)", step)] == []


@pytest.mark.parametrize("sql", [sql for sql in statements() if sql.id.split(",")[0] in CLAIMS])
def test_no_claim_sorts(store, sql):
    assert [step for step in plan(store, sql) if "TEMP B-TREE" in step] == []


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("next_ready", "jobs_ready (ready=? AND queue=?)"),
        ("promote", "jobs_unready (held_by=? AND waiting=? AND run_at<?)"),
        ("next_due", "jobs_unready (held_by=? AND waiting=?)"),
        ("holders", "jobs_unready (held_by>?)"),
        ("unhold_all", "jobs_unready (held_by=?)"),
        ("overdue", "jobs_expiring (expires_at>? AND expires_at<?)"),
        ("next_expiry", "jobs_expiring (expires_at>?)"),
        ("free_to_start", "sqlite_autoindex_jobs_1 (id=?)"),
        ("running_of", "jobs_running (worker=?)"),
        ("asked_to_cancel", "jobs_running (worker=?)"),
        ("prune", "jobs_finished (finished_at>? AND finished_at<?)"),
    ],
)
def test_a_statement_goes_by_the_index_that_was_made_for_it(store, name, index):
    steps = plan(store, SQL[name].replace("{ready}", "1"))

    assert [step for step in steps if step.endswith(f"INDEX {index}")] != []


@pytest.mark.parametrize("sql", [sql for sql in statements() if sql.id.endswith("and ids")])
def test_what_is_asked_for_by_id_is_found_by_id(store, sql):
    assert any("sqlite_autoindex_jobs_1 (id=?)" in step for step in plan(store, sql))


def test_all_in_an_index_is_counted_without_its_rows(store):
    steps = plan(store, SQL["counts"])

    assert sum("COVERING INDEX" in step for step in steps) == 5


def steps_of(store, call):
    """How many instructions SQLite's machine runs for a call."""
    count = 0

    def tick():
        nonlocal count
        count += 1

    store._file._connection.set_progress_handler(tick, 1)
    call()
    store._file._connection.set_progress_handler(None, 1)
    return count


def finish(store, count):
    store.insert([new_job(store) for _ in range(count)])
    for _ in range(count // 1000):
        store.settle([Ended(job.id, job.attempt, Succeeded()) for job in store.claim("w1", 1000)])


def run_one(store):
    put(store)
    job = take(store)
    store.settle([Ended(job.id, job.attempt, Succeeded())])


def test_a_job_costs_as_much_with_ten_thousand_finished_rows_as_with_none(store):
    """P12. To see it fail: drop the index jobs_ready, or take `ready > 0` out of `next_ready`."""
    run_one(store)
    before = steps_of(store, lambda: run_one(store))
    finish(store, 10_000)

    assert steps_of(store, lambda: run_one(store)) == before


def test_an_idle_worker_looks_as_briefly_with_ten_thousand_jobs_for_later(store):
    store.insert([new_job(store, waiting=1), new_job(store, held_by="server")])
    before = steps_of(store, lambda: store.claim("w1", 10))
    store.insert([new_job(store, waiting=1) for _ in range(5000)])
    store.insert([new_job(store, held_by="server") for _ in range(5000)])

    assert steps_of(store, lambda: store.claim("w1", 10)) == before


def test_a_claim_plans_nothing_anew(store):
    """A parameter where an index has a constant makes SQLite plan the statement again each time."""
    statements = []
    put(store)
    store.claim("w1", 1)
    store._file._connection.set_trace_callback(statements.append)
    put(store)
    store.claim("w1", 1)

    assert [sql for sql in statements if re.search(r"ready = [^012]", sql)] == []
