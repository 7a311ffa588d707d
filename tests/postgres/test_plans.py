"""What workers ask again and again finds its rows by an index over live rows, however many have ended."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta

import pytest

from outlast.job import State
from outlast.store import Store, open_store
from outlast.store.postgres import SQL, PostgresStore
from outlast.store.postgres_connection import in_schema
from tests.contract.making import end, new_chain, new_job, put, worker_record
from tests.postgresql import new_store
from tests.stores import execute

FILL = """
INSERT INTO jobs (id, task, queue, priority, luggage, created_at, run_at, max_attempts, at_most_once, waiting,
                  state, ready, attempt, started_at, finished_at)
SELECT 'f' || number, 'app:task', 'default', 0, '{}', number, number, 5, 0, 0, 'succeeded', 0, 1, number, number
FROM generate_series(1, 20000) AS number
"""
NOW = 1_800_000_000_000_000
PARAMETERS = {
    "now": NOW,
    "limit": 40,
    "worker": "w1",
    "due": NOW,
    "queues": ["default", "mail"],
    "handed": [],
    "unknown": [],
    "unfit": [],
    "server": "s",
    "id": "one",
    "ids": ["one", "two"],
    "attempts": [1, 1],
    "attempt": 1,
    "results": [None, None],
    "seq": 20_000,
    "place": 20_000,
    "start": 20_000,
    "most": 10_000,
    "task": "app:task",
}


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    """Twenty thousand finished jobs, and some of every other kind."""
    with new_store() as url:
        store = open_store(url)
        store.enter(worker_record("w1", store.clock))
        store.insert([*new_chain(store, 3), new_job(store, held_by="s"), new_job(store, expires_at=1)])
        for _ in range(50):
            put(store, queue="mail")
        store.claim("w1", 5)
        execute(url, FILL)
        execute(url, "VACUUM ANALYZE jobs")
        yield store
        store.close()


STATEMENTS = [
    ("claim", "jobs_ready"),
    ("claim", "jobs_due"),
    ("queues_with_ready", "jobs_ready"),
    ("any_ready", "jobs_ready"),
    ("promote", "jobs_due"),
    ("next_due", "jobs_due"),
    ("holders", "jobs_held"),
    ("unhold_all", "jobs_held"),
    ("asked_to_cancel", "jobs_running"),
    ("running_of", "jobs_running"),
    ("contexts_of", "jobs_running"),
    ("overdue", "jobs_expiring"),
    ("next_expiry", "jobs_expiring"),
    ("succeed", "jobs_id_key"),
    ("standing", "jobs_id_key"),
    ("let_go", "jobs_id_key"),
    ("claim_one", "jobs_id_key"),
]


@pytest.mark.parametrize(("name", "index"), STATEMENTS, ids=[f"{name}-{index}" for name, index in STATEMENTS])
def test_it_goes_by_an_index_and_not_through_the_jobs(store: Store, name: str, index: str) -> None:
    """Break it: drop the index from the migration, or leave its condition out of the statement."""
    plan = plan_of(store, SQL[name].replace("{ready}", "1"))

    assert index in plan
    assert "Seq Scan on jobs" not in plan
    assert "jobs_finished" not in plan


def test_a_claim_sorts_no_queue(store: Store) -> None:
    """From the front of each, in the order of the index: only what was taken from several is sorted."""
    plan = plan_of(store, SQL["claim"].replace("{ready}", "1"))

    fronts = plan[plan.index("CTE fronts") : plan.index("CTE first")]
    assert "Sort" not in fronts


@pytest.fixture(scope="module")
def young() -> Iterator[Store]:
    """Three thousand jobs that wait; as far as statistics know, none has ever begun."""
    with new_store() as url:
        store = open_store(url)
        store.enter(worker_record("w1", store.clock))
        store.insert([new_job(store) for _ in range(3000)])
        execute(url, "VACUUM ANALYZE jobs")
        yield store
        store.close()


LOOKED_UP = [("claim", "seq = first.seq"), ("succeed", "id = (given.id)")]


@pytest.mark.parametrize(("name", "condition"), LOOKED_UP, ids=[name for name, _ in LOOKED_UP])
def test_what_statistics_do_not_know_makes_no_turn_read_the_whole_table(
    young: Store, name: str, condition: str
) -> None:
    """Each row is looked up by itself. Break it: leave the settings out of the statement that begins a transaction, or
    join the ends with the jobs directly."""
    many = {"limit": 400, "ids": ["one"] * 400, "attempts": [1] * 400, "results": [None] * 400}
    with young.transaction():
        plan = plan_of(young, SQL[name].replace("{ready}", "1"), **many)

    assert "Seq Scan on jobs" not in plan
    assert f"Index Cond: ({condition}" in plan


KEPT = [
    ("claim", "NULL, '{}', 0, 'w1', 1, '{}', '{}', 40", "jobs_ready"),
    ("prune", "1, NULL, 1000", "jobs_finished"),
]


@pytest.mark.parametrize(("name", "values", "index"), KEPT, ids=[name for name, *_ in KEPT])
def test_a_plan_that_was_made_when_there_were_no_jobs_serves_when_there_are_many(
    name: str, values: str, index: str
) -> None:
    """It is kept for as long as the connection. Break it: leave enable_bitmapscan out of the settings."""
    with new_store() as url, closing(open_store(url)) as store:
        store.enter(worker_record("w1", store.clock))
        for _ in range(5):  # often enough to be prepared
            store.insert([new_job(store)])
            end(store, *store.claim("w1", 1))
            store.prune(timedelta(days=1))

        plan = kept_plan(store, name, values)

        assert f"Index Scan using {index} on jobs" in plan
        assert "Bitmap" not in plan
        assert "Seq Scan on jobs" not in plan


def kept_plan(store: Store, name: str, values: str) -> str:
    """As the store's own session has it."""
    database = store._database  # type: ignore[attr-defined]
    beginning = in_schema(SQL[name], database.address.schema).splitlines()[0]
    prepared = database.read("SELECT name, statement FROM pg_prepared_statements")
    [kept] = [name for name, statement in prepared if statement.startswith(beginning)]
    database.execute("SET plan_cache_mode = force_generic_plan")
    return "\n".join(line for (line,) in database.read(f"EXPLAIN EXECUTE {kept} ({values})"))


def plan_of(store: Store, sql: str, **parameters: object) -> str:
    rows = store._database.read(f"EXPLAIN {sql}", PARAMETERS | parameters)  # type: ignore[attr-defined]
    return "\n".join(line for (line,) in rows)


FOR_PEOPLE = [
    *("queues", "queued_now", "oldest_ready", "running_of", "close_before", "behind", "slowest"),
    *("some_queued", "some_running", "some_failed", "some_cancelled", "added_at", "newest_place"),
]


@pytest.mark.parametrize("name", FOR_PEOPLE)
def test_what_people_look_at_all_day_reads_through_no_finished_jobs(store: Store, name: str) -> None:
    """Break it: ask `queues` for `state = 'queued'`, which no index has."""
    plan = plan_of(store, SQL[name])

    assert "Seq Scan on jobs" not in plan


def test_a_tally_reads_through_those_alone_that_it_counts(store: Store) -> None:
    """Of what has ended it counts the first that come."""
    assert plan_of(store, SQL["tally"]).count("Seq Scan on jobs") <= 1


@pytest.mark.parametrize("state", [state for state in State if state is not State.SUCCEEDED])
def test_jobs_of_a_state_that_few_are_in_are_listed_by_its_index(store: Store, state: State) -> None:
    plan = plan_of(store, SQL["find"].replace("{which}", PostgresStore.AMONG[state]))

    assert "Seq Scan on jobs" not in plan
    assert "Index Cond: (seq = ANY" in plan  # and not through all, from the newest
