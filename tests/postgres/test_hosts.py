"""Workers on several hosts share a store: what one of them, the network or the database loses, the others make good."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest

from outlast.errors import NotConfirmed
from outlast.job import State
from outlast.store.postgres_schema import migrate
from tests.postgres.hosts import Host, network
from tests.postgresql import Server
from tests.stores import execute
from tests.worker.harness import House, Process

LEASE = timedelta(seconds=3)
COUNT_ENDINGS = """
CREATE TABLE endings (id text, attempt integer);
CREATE FUNCTION count_ending() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF new.finished_at IS NOT NULL AND old.finished_at IS NULL THEN
        INSERT INTO {schema}.endings VALUES (new.id, new.attempt);
    END IF;
    RETURN new;
END $$;
CREATE TRIGGER count_endings AFTER UPDATE ON jobs FOR EACH ROW EXECUTE FUNCTION count_ending()
"""
AHEAD = """
import time
true_time = time.time_ns
time.time_ns = lambda: true_time() + {minutes} * 60_000_000_000
"""


class Town:
    """Three hosts, a database that all reach, and a house that has workers on each."""

    def __init__(self, server: Server, hosts: list[Host], house: House) -> None:
        self.server = server
        self.hosts = hosts
        self.house = house

    def worker(self, number: int, **more: object) -> Process:
        host = self.hosts[number]
        return self.house.worker(within=host.words, env=host.env, **{"lease": LEASE, "slots": 2, **more})

    def endings(self) -> Counter[str]:
        """How often each job has ended, as the database counted it."""
        return Counter(str(job) for (job,) in execute(self.house.url, "SELECT id FROM endings"))

    def require_all_once(self, jobs: list[str]) -> None:
        """Nothing lost, nothing ended twice."""
        for job in jobs:
            self.house.ended(job)
        endings = self.endings()
        print(f"{len(jobs)} jobs committed, {len(endings)} ended, {sum(endings.values())} endings")
        assert endings == Counter(jobs)


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    with network(3) as (address, hosts):
        server = Server(host=address)
        try:
            server.start()
            url = f"{server.url}?schema=town"
            migrate(url)
            for statement in COUNT_ENDINGS.format(schema="town").split(";\nCREATE T"):
                execute(url, statement if statement.startswith("\nC") else f"CREATE T{statement}")
            house = House(tmp_path, url)
            try:
                yield Town(server, hosts, house)
            finally:
                house.close()
        finally:
            server.close()


def test_what_a_host_that_was_cut_off_says_too_late_is_refused(town: Town) -> None:
    """It believes in its lease, which the database has ended; its tasks returned while nothing could be said.

    Break it: in postgres.sql, leave the attempt out of the fence of `succeed`.
    """
    house = town.house
    cut = town.worker(0, lease=timedelta(hours=1))
    held = house.add_all([house.row("app:hold", {"door": "door"}) for _ in range(2)])
    for job in held:
        house.noted("started", job, attempt=1)
    for number in (1, 2):
        town.worker(number)
    others = [house.add("app:work", {"value": number}) for number in range(40)]
    assert house.results(others) == list(range(40))

    town.hosts[0].cut_off()
    cut.stop()
    execute(house.url, f"UPDATE workers SET lease_until = 0 WHERE pid = {cut.pid}")
    house.open("door")
    for job in held:
        house.noted("done", job, attempt=1)
    for job in held:
        assert house.ended(job).attempt == 2
    before = [house.job(job) for job in held]
    town.hosts[0].join()
    cut.go_on()

    house.logged(cut, "not counted")
    assert [house.job(job) for job in held] == before
    town.require_all_once(held + others)


def test_a_host_that_is_cut_off_loses_its_jobs_within_the_lease_and_serves_again_when_it_is_back(
    town: Town,
) -> None:
    """It ends what it runs by itself, and others have taken it up by then.

    Break it: in Membership.keep, say True whatever happens; in is_alive, take no notice of leases.
    """
    house = town.house
    cut = town.worker(0)
    job = house.add("app:hold", {"door": "door"})
    first = house.noted("started", job, attempt=1)
    other = town.worker(1)
    house.logged(other, "worker started")

    cut_at = time.monotonic()
    town.hosts[0].cut_off()
    assert house.noted("started", job, attempt=2).at - cut_at < LEASE.total_seconds() + 2
    house.logged(cut, "lease lost: ended 1 running jobs")
    house.until(lambda: first.pid not in house.everybody(), "the child of attempt 1 to be gone")
    town.hosts[0].join()
    house.open("door")
    assert house.result(job) == 2
    other.terminate()

    more = [house.add("app:work", {"value": number}) for number in range(3)]
    assert house.results(more) == [0, 1, 2], "the host that was cut off serves again"
    town.require_all_once([job, *more])


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_the_database_is_restarted_and_nobody_must_act(town: Town, mode: str) -> None:
    """What ended meanwhile is settled when it is back; what nobody confirmed is sent again and written once.

    Break it: in PostgresConnection._opened, make no new connection in place of a closed one.
    """
    house = town.house
    workers = [town.worker(number, slots=8) for number in range(3)]
    held = house.add_all([house.row("app:hold", {"door": "door"}) for _ in range(6)])
    for job in held:
        house.noted("started", job)
    town.server.stop(mode=mode)
    house.open("door")
    for job in held:
        house.noted("done", job)
    rows = [house.row("app:work", {"value": number}) for number in range(20)]
    with pytest.raises(NotConfirmed):
        house.add_all(rows)

    town.server.start()
    house.until(lambda: _accepted(house, rows), "the rows to be accepted")

    town.require_all_once(held + [row.id for row in rows])
    assert all(worker.is_alive for worker in workers)


def _accepted(house: House, rows: list[object]) -> bool:
    with suppress(NotConfirmed):
        house.add_all(rows)  # type: ignore[arg-type]
        return True
    return False


def test_clocks_that_differ_by_minutes_do_no_harm(town: Town) -> None:
    """Nobody is taken for dead, what may start at once does, and a delay is as long as it was meant.

    Break it: in open_store, give PostgresStore the SystemClock.
    """
    house = town.house
    slow, fast = (
        town.worker(number, before=AHEAD.format(minutes=minutes), lease=timedelta(seconds=30))
        for number, minutes in enumerate((-7, 7))
    )
    enqueue = (
        "import sys; from datetime import timedelta; from outlast.queue import TaskQueue; from app import work;"
        "queue = TaskQueue(store=sys.argv[1]);"
        "print(queue.enqueue(work, 1).id, queue.enqueue(queue.options(work, delay=timedelta(seconds=2)), 2).id)"
    )
    ids = [
        town.hosts[2]
        .run(
            f"import sys; sys.path.insert(0, {str(house.folder)!r});"
            + AHEAD.format(minutes=minutes)
            + enqueue,
            house.url,
        )
        .split()
        for minutes in (-7, 7)
    ]

    jobs = [job for pair in ids for job in pair]
    for now, later in ids:
        started = [house.ended(job).started_at for job in (now, later)]
        made = [house.job(job).created_at for job in (now, later)]
        waits = [(at - since).total_seconds() for at, since in zip(started, made, strict=True) if at]
        assert waits[0] < 2
        assert 2 <= waits[1] < 5
    assert house.job(jobs[0]).state is State.SUCCEEDED
    for worker in (slow, fast):
        assert "rescued" not in worker.log
        assert worker.is_alive
    town.require_all_once(jobs)
