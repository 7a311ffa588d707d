"""A store that fails for a while under a running worker: nothing is lost, nothing counts twice, the worker recovers.

Where a real fault would need a broken disk, the worker runs with code before it that makes one method of its real store
fail while a file is there.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from datetime import timedelta

import pytest

from outlast.errors import NotConfirmed
from outlast.job import NewJob, State
from outlast.store.link import Link, LinkLost
from tests.polling import apolled
from tests.worker.harness import PATIENCE, House

BROKEN = """
import os
from outlast.errors import NotConfirmed
from outlast.store.sqlite import SQLiteStore
from outlast.store.sqlite_file import SQLiteFile

def is_broken():
    return os.path.exists("broken")
"""
FULL_DISK = (
    BROKEN
    + """
begin = SQLiteFile._begin
def _begin(self, flush):
    if is_broken():
        with open("tries", "a") as tries:
            tries.write(".")
        raise NotConfirmed("the disk is full")
    begin(self, flush)
SQLiteFile._begin = _begin
"""
)
NO_FLUSH = (
    BROKEN
    + """
sync = SQLiteFile._sync
def _sync(self):
    if is_broken():
        raise NotConfirmed("the disk failed")
    sync(self)
SQLiteFile._sync = _sync
"""
)
UNCONFIRMED = (
    BROKEN
    + """
commit = SQLiteFile._commit
def _commit(self):
    commit(self)
    if is_broken():
        raise NotConfirmed("written, but who knows")
SQLiteFile._commit = _commit
"""
)
FIRST_A_BAD_END = (
    BROKEN
    + """
settle, is_first = SQLiteStore.settle, True
def _settle(self, ends):
    global is_first
    if ends and is_broken():
        was_first, is_first = is_first, False
        raise ValueError("no such ending") if was_first else NotConfirmed("the disk is full")
    return settle(self, ends)
SQLiteStore.settle = _settle
"""
)


def test_a_lock_that_another_process_holds_delays_and_costs_nothing(house: House) -> None:
    """A shell with an open transaction stops all writing; what ends meanwhile is settled when it is done."""
    worker = house.worker()
    jobs = house.add_all([house.row(task, {"door": "door"}) for task in ("app:hold", "app:ahold") * 3])
    for job in jobs:
        house.noted("started", job)
    shell = sqlite3.connect(house.folder / "outlast.db", isolation_level=None)
    shell.execute("BEGIN IMMEDIATE")
    house.open("door")
    for job in jobs:
        house.noted("done", job)
    assert {house.job(job).state for job in jobs} == {State.RUNNING}

    shell.execute("ROLLBACK")
    shell.close()

    assert house.results(jobs) == [1] * 6
    assert house.result(house.add("app:work", {"value": 1})) == 1
    assert worker.is_alive


def test_a_lock_held_for_longer_than_the_lease_costs_at_most_another_attempt(house: House) -> None:
    """The worker cannot renew meanwhile; whatever it makes of that, each job is counted once and no failure is made."""
    house.worker(lease=timedelta(seconds=0.3))
    jobs = [house.add("app:hold", {"door": "door"}, max_attempts=1) for _ in range(3)]
    for job in jobs:
        house.noted("started", job)
    shell = sqlite3.connect(house.folder / "outlast.db", isolation_level=None)
    shell.execute("BEGIN IMMEDIATE")
    house.until(
        lambda: house.store.workers()[0].lease_until.timestamp() < time.time(), "the lease to run out"
    )
    shell.execute("ROLLBACK")
    shell.close()
    house.open("door")

    assert set(house.results(jobs)) <= {1, 2}
    assert [house.job(job).failures for job in jobs] == [0] * 3


async def test_a_full_disk_refuses_rows_keeps_ends_and_is_forgotten_when_it_is_mended(house: House) -> None:
    """Servers are told that their rows are not confirmed; what ends meanwhile is kept in memory and settled later."""
    worker = house.worker(before=FULL_DISK, lease=timedelta(minutes=1))
    job = house.add("app:hold", {"door": "door"})
    house.noted("started", job)
    (house.folder / "broken").touch()
    house.open("door")
    house.noted("done", job)
    house.logged(worker, "store failed: the disk is full")

    refused = house.row("app:work")
    with pytest.raises(NotConfirmed, match="the disk is full"):
        await _send(house, [refused])
    assert house.job(job).state is State.RUNNING

    (house.folder / "broken").unlink()
    assert house.result(job) == 1
    await _send(house, [refused])
    house.ended(refused.id)
    assert len(house.diary("ran", refused.id)) == 1


def test_a_worker_that_is_cut_off_ends_its_jobs_once_and_begins_anew(house: House) -> None:
    """When the lease has run out over a store that fails, what it runs is ended: somebody else may run it now.

    It is ended once, not again with each try to come back.
    """
    worker = house.worker(before=FULL_DISK, lease=timedelta(seconds=0.3))
    job = house.add("app:hold", {"door": "door"}, max_attempts=1)
    started = house.noted("started", job)
    (house.folder / "broken").touch()
    house.logged(worker, "lease lost: ended 1 running jobs")
    house.until(lambda: started.pid not in house.everybody(), "the child to be gone")
    tries = _tries(house)
    house.until(lambda: _tries(house) > tries + 6, "further tries")

    (house.folder / "broken").unlink()
    house.open("door")

    assert house.result(job) == 2
    assert house.job(job).failures == 0
    assert worker.log.count("lease lost") == 1


def test_a_store_that_fails_is_told_of_once_and_when_it_is_back(house: House) -> None:
    """Whatever fails meanwhile: chores, renewals, jobs that are to be claimed.

    Break it: in Outage.failed, tell each time; in Supervisor._do_chores, do not say that they went well.
    """
    worker = house.worker(before=FULL_DISK, lease=timedelta(seconds=3))
    house.child()
    job = house.row("app:work", {"value": 1})
    for number in (1, 2):
        (house.folder / "broken").touch()
        tries = _tries(house)
        house.until(lambda tries=tries: _tries(house) > tries + 3, "some tries")
        (house.folder / "broken").unlink()
        house.until(lambda number=number: worker.log.count("store is back after ") == number, "a word")
    house.add_all([job])

    house.ended(job.id)
    assert worker.log.count("store failed: the disk is full") == 2
    assert "still fails" not in worker.log


def test_an_at_most_once_job_is_not_started_before_its_claim_is_on_disk(house: House) -> None:
    """When the flush of its claim fails it is given back, not begun, and runs once the disk is well."""
    worker = house.worker(before=NO_FLUSH)
    house.child()
    (house.folder / "broken").touch()
    job = house.add("app:work", {"value": 1}, at_most_once=True)
    house.logged(worker, "store failed: the disk failed")
    assert not house.diary("ran", job)

    (house.folder / "broken").unlink()

    assert house.result(job) == 1
    assert len(house.diary("ran", job)) == 1


def test_what_was_claimed_in_a_commit_that_was_not_confirmed_is_not_forgotten(house: House) -> None:
    """The claim was written all the same: the store says that this worker runs the jobs, but no child has them."""
    worker = house.worker(before=UNCONFIRMED)
    house.child()
    (house.folder / "broken").touch()
    jobs = [house.add("app:work", {"value": n}, max_attempts=1) for n in range(3)]
    house.logged(worker, "store failed: written, but who knows")

    (house.folder / "broken").unlink()

    assert house.results(jobs) == [0, 1, 2]
    for job in jobs:
        assert len(house.diary("ran", job)) == 1
        assert house.job(job).failures == 0


async def test_a_row_that_cannot_be_written_is_refused_alone(house: House) -> None:
    """Rows that came with it are kept, and the worker goes on: a number that no column holds is not worth its life."""
    worker = house.worker()
    house.child()
    good, bad, other = (house.row("app:work", {"value": n}) for n in range(3))
    bad = bad._replace(priority=10**30)

    kept, refused, also = await _send_all(house, [[good], [bad], [other]])

    assert (kept, also) == (None, None)
    assert isinstance(refused, NotConfirmed)
    assert "OverflowError" in str(refused)
    assert house.results([good.id, other.id]) == [0, 2]
    assert worker.is_alive


def test_an_end_that_is_tried_alone_while_the_store_fails_is_kept_as_it_is(house: House) -> None:
    """Its work was done, and nothing is wrong with it. Break it: let Supervisor._one_by_one take
    every refusal for the end's own."""
    worker = house.worker(before=FIRST_A_BAD_END)
    house.child()
    (house.folder / "broken").touch()
    job = house.add("app:work", {"value": 1}, max_attempts=1)
    house.logged(worker, "store failed: the disk is full")

    (house.folder / "broken").unlink()

    assert house.result(job) == 1


async def test_a_server_of_another_version_is_sent_away_and_writes_by_itself(house: House) -> None:
    """In the middle of an upgrade nobody gets a 503 for it. Broken by answering "refused" instead of parting."""
    worker = house.worker()
    house.child()
    strange = (*house.row("app:work"), "a column of tomorrow")

    with pytest.raises(LinkLost):
        await _send(house, [strange])  # type: ignore[list-item]

    house.logged(worker, "another version")
    assert house.result(house.add("app:work", {"value": 1})) == 1


async def _send(house: House, rows: list[NewJob]) -> None:
    """Down the link, as a server does."""
    (answer,) = await _send_all(house, [rows])
    if answer is not None:
        raise answer


async def _send_all(house: House, batches: list[list[NewJob]]) -> list[BaseException | None]:
    """Each batch as a server of its own, all at the same moment."""
    links = [Link(house.premises.socket, asyncio.get_running_loop()) for _ in batches]
    assert await apolled(lambda: all(link.is_up() for link in links), PATIENCE)
    try:
        answers = await asyncio.gather(
            *(link.insert(rows) for link, rows in zip(links, batches, strict=True)), return_exceptions=True
        )
        return list(answers)
    finally:
        for link in links:
            link.close()


def _tries(house: House) -> int:
    """How often the worker began something while the disk was full."""
    tries = house.folder / "tries"
    return len(tries.read_text()) if tries.exists() else 0
