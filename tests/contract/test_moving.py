"""Moving jobs from each kind of store to each: they arrive as they were, once, and run nowhere else."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from outlast.clock import ManualClock
from outlast.errors import StoreError, StoreUnusable
from outlast.job import Crashed, Ended, Erred, Line, Released, Snoozed, Step, Succeeded, TimedOut, Told
from outlast.store import JobFilter, Store, open_store
from outlast.store.moving import Move, open_to_move, take_back
from outlast.store.sql_store import SQLStore
from tests.contract.making import ERRED, claimable, end, new_chain, new_job, put, take
from tests.stores import STORES, columns_of, execute, name_of

OUTCOMES = [
    Succeeded("1"),
    Succeeded(file="a" * 64 + ".1"),
    Erred("ValueError: \N{SNOWMAN} 'quoted' \\n", "Traceback …\n\ttab"),
    Erred("no", "tb", again=False),
    TimedOut(5, "where"),
    Crashed("signal 11", alone=False),
    Released("put back"),
    Snoozed(5_000_000),
]


@pytest.fixture(params=STORES, ids=lambda place: f"to {name_of(place)}")
def other(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of the store to move to."""
    (tmp_path / "new").mkdir()
    with request.param(tmp_path / "new") as url:
        yield url


@pytest.fixture
def source(url: str, store: Store) -> Iterator[SQLStore]:
    with closing(open_to_move(url)) as source:
        yield source


@pytest.fixture
def target(other: str) -> Iterator[SQLStore]:
    with closing(open_to_move(other, create=True)) as target:
        yield target


def moved(source: SQLStore, target: SQLStore) -> None:
    move = Move(source, target)
    assert not move.is_done()
    move.begin()
    assert [*move.carry()][-1] == move.contents().jobs
    move.finish()


def dump(url: str) -> dict[str, list[tuple[object, ...]]]:
    """Everything in the tables that a move carries, by the names of their columns."""
    tables = {
        "jobs": "seq",
        "attempts": "job_id, attempt",
        "queues": "name",
        "progress": "job_id",
        "log_lines": "job_id, attempt, number",
        "statistics": "length, start, task, queue",
    }
    return {
        f"{table} ({', '.join(columns)})": execute(
            url, f"SELECT {', '.join(columns)} FROM {table} ORDER BY {order}"
        )
        for table, order in tables.items()
        for columns in [columns_of(url, table)]
    }


def live(store: Store, clock: ManualClock, dice: random.Random) -> None:
    """A life of a store: everything that can happen to jobs, in some order; nothing is running or held in the end."""
    for _ in range(120):
        match dice.randrange(9):
            case 0 | 1 | 2:
                store.insert(new_chain(store, dice.randint(1, 4), **_fields(store, dice)))
            case 3:
                store.insert([new_job(store, delay=timedelta(seconds=dice.randint(1, 500)))])
            case 4 | 5 | 6:
                jobs = store.claim("w1", 3, alone=dice.random() < 0.3)
                store.settle([Ended(job.id, job.attempt, dice.choice(OUTCOMES)) for job in jobs])
            case 7:
                some = dice.choice(store.find() or [None])
                if some is not None:
                    dice.choice([store.cancel, store.retry])(JobFilter(ids=(some.id,)))
            case 8:
                clock.advance(timedelta(seconds=dice.randint(1, 20)))
                store.expire()
    store.claim("w2", 5)
    store.rescue("w2")
    store.unhold("server")
    store.pause("b")


def _fields(store: Store, dice: random.Random) -> dict[str, object]:
    return {
        "queue": dice.choice(["a", "b"]),
        "priority": dice.randint(-1, 1),
        "max_attempts": dice.randint(1, 4),
        "at_most_once": dice.randint(0, 1),
        "luggage": dice.choice(["{}", '{"text": "\N{SNOWMAN}\\u0000\\t\\\\N"}']),
        "context": dice.choice([None, '{"request_id": "r"}']),
        "timeout": dice.choice([None, 5]),
        "files": dice.choice([None, f'["{"b" * 64}.7"]']),
        "held_by": dice.choice([None, None, "server"]),
        "expires_at": dice.choice([None, store.clock.now() + 10_000_000]),
    }


def test_what_jobs_told_and_workers_counted_goes_along(
    store: Store, source: SQLStore, target: SQLStore, clock: ManualClock
) -> None:
    """Break it: in Move.carry, leave out a table; in Move.finish, the statistics."""
    put(store, owner="ada")
    job = take(store)
    lines = [Line(number, clock.now(), 20, "app", f"line {number}") for number in (1, 2)]
    store.keep([Told(job.id, job.attempt, Step(1, 2, "half", clock.now()), lines)])
    end(store, job)
    store.cancel(JobFilter(ids=(put(store),)))
    before = dump(source.url)

    moved(source, target)

    assert dump(target.url) == before
    assert [
        len(rows) for table, rows in before.items() if table.partition(" ")[0] in ("progress", "log_lines")
    ] == [1, 2]
    assert any(rows for table, rows in before.items() if table.startswith("statistics"))


@pytest.mark.parametrize("seed", range(3))
def test_every_job_arrives_as_it_is(
    store: Store, source: SQLStore, target: SQLStore, clock: ManualClock, seed: int
) -> None:
    """Break it: in Move.carry, leave the attempts out; or in jobs_below, name all columns but `deaths`."""
    live(store, clock, random.Random(seed))
    before = dump(source.url)

    moved(source, target)

    assert dump(target.url) == before
    assert dump(source.url) == before
    assert len({state for _, state in execute(source.url, "SELECT id, state FROM jobs")}) == 4


def test_they_are_taken_in_the_same_order_and_what_is_added_later_comes_after_them(
    store: Store, source: SQLStore, target: SQLStore, other: str, clock: ManualClock
) -> None:
    """Break it: in PostgresStore.keep_places, do nothing."""
    chain = new_chain(store, 3)
    store.insert([*chain, *(new_job(store, priority=number % 2) for number in range(5))])
    order = claimable(store)

    moved(source, target)

    with closing(open_store(other, clock=clock)) as new:
        new.enter(store.workers()[0])
        later = put(new, created_at=chain[0].created_at, run_at=chain[0].run_at)
        assert claimable(new) == [*order, later]
        first = next(job for job in new.claim("w1", 10) if job.id == chain[0].id)
        end(new, first, ERRED)
        assert claimable(new) == [chain[1].id], "the chain holds"


def test_an_attempt_number_goes_on(
    store: Store, source: SQLStore, target: SQLStore, other: str, clock: ManualClock
) -> None:
    put(store)
    for _ in range(2):
        end(store, take(store), Released())
    moved(source, target)

    with closing(open_store(other, clock=clock)) as new:
        new.enter(store.workers()[0])
        assert take(new).attempt == 3


def test_what_was_interrupted_goes_on_where_it_was(store: Store, source: SQLStore, target: SQLStore) -> None:
    """Again and again, after each commit; the attempts of a job come with it.

    Break it: in Move.carry, begin at the top each time.
    """
    for _ in range(10):
        put(store)
    for job in store.claim("w1", 10):
        end(store, job, ERRED)
    before = dump(source.url)

    there = []
    while not there or there[-1] < 10:
        move = Move(source, target)
        assert not move.is_done()
        move.begin()
        carrying = move.carry(3)
        there.append(next(carrying))
        next(carrying, None)
        carrying.close()

    assert there == [0, 3, 6, 9, 10]
    assert not Move(source, target).is_done()
    Move(source, target).finish()
    assert Move(source, target).is_done()
    assert dump(target.url) == before


def test_a_piece_arrives_whole_or_not_at_all(
    store: Store, source: SQLStore, target: SQLStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Jobs without their attempts would count as moved.

    Break it: in Move.carry, commit jobs and attempts apart.
    """
    put(store)
    end(store, take(store), ERRED)
    move = Move(source, target)
    move.begin()
    load = target.load

    def broken(table: str, rows: list[object]) -> None:
        if table == "attempts":
            raise KeyboardInterrupt
        load(table, rows)  # type: ignore[arg-type]

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(target, "load", broken)
        [*move.carry()]

    assert [*move.carry()] == [0, 1]
    assert move.finish().attempts == 1


def test_what_is_added_until_the_old_store_is_shut_comes_along(
    store: Store, source: SQLStore, target: SQLStore
) -> None:
    """Break it: in Move.begin, do not look again once it is shut."""
    put(store)
    move = Move(source, target)
    late = put(store)
    move.begin()

    assert [*move.carry()] == [0, 2]
    move.finish()
    assert target.get(late)


def test_a_job_that_somebody_has_begun_meanwhile_is_not_moved(
    store: Store, source: SQLStore, target: SQLStore
) -> None:
    """In the new store nobody would know its worker, and nobody rescue it. Break it: in Move.begin, do not look."""
    put(store)
    job = take(store)

    with pytest.raises(StoreUnusable, match="somebody has begun to work"):
        Move(source, target).begin()

    end(store, job)
    moved(source, target)


def changes(store: Store) -> dict[str, Callable[[], object]]:
    return {
        "add": lambda: put(store),
        "claim": lambda: store.claim("w1", 1),
        "cancel": lambda: store.cancel(JobFilter()),
        "prune": lambda: store.prune(timedelta(-1)),
    }


@pytest.mark.parametrize("change", ["add", "claim", "cancel", "prune"])
def test_nobody_changes_the_old_store_any_more_whoever_had_it_open(
    store: Store, source: SQLStore, target: SQLStore, change: str
) -> None:
    """Else an old server would take jobs that nobody runs, or an old worker run them a second time.

    Break it: in Move.begin, do not shut the source.
    """
    put(store)
    end(store, take(store))
    put(store)
    before = dump(source.url)
    Move(source, target).begin()

    with pytest.raises(StoreUnusable, match=f"were moved to .*OUTLAST_STORE='?{target.url[:12]}"):
        changes(store)[change]()

    assert dump(source.url) == before


def test_nor_does_whoever_writes_there_on_a_connection_of_its_own(
    store: Store, source: SQLStore, target: SQLStore
) -> None:
    """A caller's own transaction, or a person at a shell."""
    put(store)
    Move(source, target).begin()

    with pytest.raises(Exception, match="moved"):
        execute(source.url, "DELETE FROM jobs")


def test_neither_is_opened_meanwhile_and_the_new_one_is_afterwards(
    store: Store, source: SQLStore, target: SQLStore, url: str, other: str
) -> None:
    """Break it: in SQLiteFile and PostgresConnection, do not ask for the facts."""
    put(store)
    move = Move(source, target)
    move.begin()
    for each, told in ((url, "were moved to"), (other, "not all of them are here; .* outlast move ")):
        with pytest.raises(StoreUnusable, match=told), closing(open_store(each)) as opened:
            opened.workers()

    assert [*move.carry()] == [0, 1]
    move.finish()

    with closing(open_store(other)) as opened:
        assert len(opened.find()) == 1
    with pytest.raises(StoreUnusable, match="were moved to"), closing(open_store(url)) as opened:
        opened.workers()


def test_it_can_be_taken_back(
    store: Store, source: SQLStore, target: SQLStore, url: str, clock: ManualClock
) -> None:
    put(store)
    moved(source, target)

    assert take_back(source) == target.url
    assert take_back(source) is None

    assert len(store.claim("w1", 1)) == 1
    with closing(open_store(url, clock=clock)) as opened:
        put(opened)


def test_what_was_taken_back_does_not_go_on_among_what_had_come(
    store: Store, source: SQLStore, target: SQLStore, tmp_path: Path
) -> None:
    """The old store was worked on since: what had come is of the past.

    Break it: in Move.is_done, do not ask whether it is the same move.
    """
    for _ in range(4):
        put(store)
    first = Move(source, target)
    first.begin()
    assert [*first.carry(2)][:2] == [0, 2]
    take_back(source)
    end(store, store.claim("w1", 1)[0])

    with pytest.raises(StoreUnusable, match="holds jobs already"):
        Move(source, target).is_done()

    with closing(open_to_move(f"sqlite:///{tmp_path / 'third.db'}", create=True)) as third:
        Move(source, third).begin()
    with pytest.raises(StoreUnusable, match="already, or are on their way"):
        Move(source, target).is_done()


def test_a_store_that_holds_jobs_is_no_place_to_move_to(
    store: Store, source: SQLStore, target: SQLStore
) -> None:
    put(store)
    target.insert([new_job(store)])

    with pytest.raises(StoreUnusable, match="holds jobs already; move to a store that is empty"):
        Move(source, target).is_done()

    put(store)  # nothing was shut


def test_a_store_is_moved_to_one_other(
    store: Store, source: SQLStore, target: SQLStore, tmp_path: Path
) -> None:
    moved(source, target)
    third = f"sqlite:///{tmp_path / 'third.db'}"

    with (
        closing(open_to_move(third, create=True)) as elsewhere,
        pytest.raises(StoreUnusable, match="already, or are on their way"),
    ):
        Move(source, elsewhere).is_done()


def test_it_is_not_over_unless_both_hold_the_same(store: Store, source: SQLStore, target: SQLStore) -> None:
    """Break it: in Contents.holds, say True."""
    for _ in range(3):
        put(store)
    move = Move(source, target)
    move.begin()
    assert [*move.carry()] == [0, 3]
    execute(target.url, "DELETE FROM jobs WHERE seq = 2")

    with pytest.raises(StoreError, match="does not hold what"):
        move.finish()

    with pytest.raises(StoreUnusable, match="not all of them"), closing(open_store(target.url)) as opened:
        opened.workers()


def test_a_queue_that_is_paused_there_stays_so(store: Store, source: SQLStore, target: SQLStore) -> None:
    store.pause("mail")
    target.pause("reports")

    moved(source, target)

    assert [queue.name for queue in target.queues() if queue.paused_at] == ["mail", "reports"]


def test_a_zero_byte_in_a_traceback_hinders_nobody(
    url: str, store: Store, source: SQLStore, target: SQLStore
) -> None:
    """PostgreSQL's text has none."""
    put(store)
    end(store, take(store), ERRED)
    if url.startswith("sqlite"):
        execute(url, "UPDATE attempts SET traceback = 'a' || char(0) || 'b'")

    moved(source, target)

    [(traceback,)] = execute(target.url, "SELECT traceback FROM attempts")
    assert str(traceback).startswith(("a", "Traceback"))
