"""`outlast move`: what it refuses, what it tells, and that neither a kill nor Ctrl-C in its midst does harm."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from shlex import quote

import pytest

from outlast.address import address_of
from outlast.errors import StoreUnusable
from outlast.files import open_files
from outlast.files.sources import Memory
from outlast.premises import Premises
from outlast.store import Store, open_store, sqlite_file
from outlast.store.postgres_schema import migrate
from tests.cli.stored import new_job, run, worker_record
from tests.cli.test_terminal import Screen
from tests.polling import polled
from tests.postgresql import connected, drop, new_store
from tests.stores import execute

OLD = "sqlite:///outlast.db"


@pytest.fixture
def postgres() -> Iterator[str]:
    with new_store() as url:
        yield url


@pytest.fixture
def left(store: Store) -> Store:
    """A job in each state, as workers and servers leave them that are stopped."""
    run(store, new_job())
    store.leave("w1")
    return store


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


# ---- what is told


def test_from_sqlite_to_postgresql_and_back(ids, store, postgres, outlast, tmp_path):
    """What ran when its worker died is queued again, what a dead server held is let go; and nothing else changes."""
    store.pause("mail")

    there = outlast("move", OLD, postgres)
    back = outlast("move", postgres, "sqlite:///back.db", "--json")

    assert there.code == 0, there.err
    assert there.out.splitlines()[0] == (
        f"Moved 9 jobs from sqlite:///{tmp_path}/outlast.db to {address_of(postgres).told}; both hold the same."
    )
    assert "With 2 unsuccessful attempts, 1 paused queue, 0 stored files." in there.out
    assert f"OUTLAST_STORE={quote(address_of(postgres).told)}" in there.err
    assert back.json["jobs"] == {"cancelled": 1, "failed": 1, "queued": 6, "succeeded": 1}
    assert (back.json["attempts"], back.json["paused"], back.json["moved"]) == (2, ["mail"], True)
    with closing(open_store("sqlite:///back.db")) as new:
        assert {view: new.get(job).view for view, job in ids.items()} == {
            **{view: view for view in ids},
            "running": "queued",
            "held": "queued",
            "retrying": new.get(ids["retrying"]).view,
        }
        assert new.get(ids["running"]).attempt == 1


def test_a_dry_run_says_what_would_be_moved_and_changes_nothing(ids, store, postgres, outlast, tmp_path):
    store.close()
    before = content(tmp_path)

    ran = outlast("move", OLD, "sqlite:///new.db", "--dry-run")
    to_postgres = outlast("move", OLD, postgres, "--dry-run", "--json")

    assert (
        ran.out.splitlines()[0]
        == f"Would move 9 jobs from sqlite:///{tmp_path}/outlast.db to sqlite:///{tmp_path}/new.db."
    )
    assert "queued again first" in ran.err
    assert to_postgres.json["jobs"] == {
        "cancelled": 1,
        "failed": 1,
        "queued": 5,
        "running": 1,
        "succeeded": 1,
    }
    assert content(tmp_path) == before
    assert execute(postgres, "SELECT * FROM facts") == []


def test_a_dry_run_leaves_a_store_of_an_older_outlast_as_it_is(outlast, tmp_path, monkeypatch):
    """It may be in use by that one. To see it fail: open it as the move itself does."""
    with monkeypatch.context() as patch:
        patch.setattr(sqlite_file, "_MIGRATIONS", sqlite_file._MIGRATIONS[:2])
        open_store(OLD, even_moved=True).close()
    with closing(sqlite3.connect("outlast.db")) as old:
        old.execute("PRAGMA user_version = 2")

    ran = outlast("move", OLD, "sqlite:///new.db", "--dry-run")

    assert "Would move 0 jobs" in ran.out
    with closing(sqlite3.connect("outlast.db")) as old:
        assert old.execute("PRAGMA user_version").fetchone() == (2,)


def test_said_twice_it_is_done_once(left, postgres, outlast):
    first, second = outlast("move", OLD, postgres), outlast("move", OLD, postgres)
    dry = outlast("move", OLD, postgres, "--dry-run")

    assert first.code == second.code == dry.code == 0
    assert "already; there is nothing to do" in second.out
    assert "already; there is nothing to do" in dry.out


def test_whoever_opens_the_old_store_is_told_where_its_jobs_are(left, postgres, outlast):
    outlast("move", OLD, postgres)

    looked, again = outlast("stats"), outlast("move", OLD, "sqlite:///third.db")

    for ran in (looked, again):
        assert ran.code == 2
        assert f"were moved to {address_of(postgres).told}" in ran.err


def test_an_old_worker_on_the_old_store_ends_with_that_message(left, postgres, outlast, tmp_path):
    outlast("move", OLD, postgres)
    (tmp_path / "main.py").write_text(
        "from fastapi import FastAPI\nfrom outlast import TaskQueue\napp = FastAPI()\nqueue = TaskQueue(app)\n"
    )

    with _process("worker", "main:app") as worker:
        assert worker.stderr is not None
        told = worker.stderr.read()

    assert worker.returncode == 2
    assert b"were moved to" in told


def test_it_is_taken_back(left, postgres, outlast):
    outlast("move", OLD, postgres)

    undone, again = outlast("move", OLD, "--undo", "--yes"), outlast("move", OLD, "--undo", "--yes")

    assert undone.out.endswith("can be worked on again.\n")
    assert f"Let nobody work on {address_of(postgres).told} any more" in undone.err
    assert "there is nothing to undo" in again.out
    left.insert([new_job()])
    assert outlast("move", OLD, "--undo", "--json", "--yes").json["taken_back_from"] is None


def test_before_many_jobs_are_taken_back_it_asks(left, postgres, outlast):
    left.insert([new_job(), new_job()])
    outlast("move", OLD, postgres)

    ran = outlast("move", OLD, "--undo")

    assert (ran.code, "say --yes" in ran.err) == (2, True)
    with pytest.raises(StoreUnusable), closing(open_store(OLD)):
        pass


# ---- what is refused


def test_tables_that_are_not_there_are_made_by_migrate(left, postgres, outlast):
    drop(postgres)

    ran = outlast("move", OLD, postgres)

    assert (ran.code, "make them: outlast migrate --store" in ran.err) == (2, True)
    migrate(postgres)
    assert outlast("move", OLD, postgres).code == 0


@pytest.mark.parametrize("who", ["worker", "supervisor", "server"])
@pytest.mark.parametrize("which", ["old", "new"])
def test_nobody_may_be_at_work_on_either(who, which, left, outlast, tmp_path):
    """Break it: in cli/move.py, ask only of the old store; or of one kind of process less."""
    with closing(open_store("sqlite:///new.db")) as new:
        store = left if which == "old" else new
        premises = Premises(store.url)
        store.enter(worker_record("w1"))
        locks = {"worker": premises.worker("w1"), "supervisor": premises.duty, "server": premises.server("s")}
        with _held(locks[who]):
            ran = outlast("move", OLD, "sqlite:///new.db")
            dry = outlast("move", OLD, "sqlite:///new.db", "--dry-run")

    for each in (ran, dry):
        assert each.code == 1
        assert f"is at work on {store.url}; stop all" in each.err
    assert outlast("move", OLD, "sqlite:///new.db").code == 0


def test_a_live_lease_on_another_machine_is_respected(left, postgres, outlast):
    with closing(open_store(postgres)) as new:
        new.enter(worker_record("w9"))

    ran = outlast("move", OLD, postgres)

    assert ran.code == 1
    assert "worker w9 (process 7 on elsewhere) is at work" in ran.err
    assert "within 15 s" in ran.err


def test_what_a_server_elsewhere_may_hold_yet_is_not_moved(postgres, outlast):
    with closing(open_store(postgres)) as store:
        store.insert([new_job(held_by="elsewhere.s1", created_at=store.clock.now())])

    ran = outlast("move", postgres, "sqlite:///new.db")

    assert (ran.code, "held by a server" in ran.err) == (1, True)
    assert execute(postgres, "SELECT * FROM facts") == []


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([OLD], "name the store to move to"),
        (["sqlite:///nowhere.db", "sqlite:///new.db"], "there is no store at"),
        ([OLD, "sqlite:///no/new.db"], "mkdir -p"),
        ([OLD, "redis://here"], "no store understands"),
        ([OLD, OLD], "is both stores"),
        (
            [OLD, "postgresql://nobody:secret@127.0.0.1:1/base"],
            "//nobody@127.0.0.1:1/base cannot be reached",
        ),
    ],
)
def test_what_cannot_be_is_told_with_the_cure(words, told, left, outlast):
    ran = outlast("move", *words)

    assert ran.code in (1, 2)
    assert told in ran.err
    assert "secret" not in ran.err
    left.insert([new_job()])


# ---- files


@pytest.fixture
def file(left: Store, tmp_path: Path) -> str:
    """The name of a stored file that a job uses, beside the store."""
    name = open_files(f"file:{tmp_path}/outlast.db-files").put(Memory(b"an upload"), 7_200_000_000)
    left.insert([new_job(files=f'["{name}"]')])
    return name


def test_files_beside_the_store_are_copied_or_named(file, left, postgres, outlast, tmp_path):
    """Break it: in cli/move.py, never refuse."""
    refused = outlast("move", OLD, postgres)
    left.insert([new_job()])
    copied = outlast("move", OLD, postgres, "--files", f"file:{tmp_path}/shared")

    assert refused.code == 2
    assert f"1 stored file of these jobs would not be found any more. {'If the app has'}" in refused.err
    assert f"file:{tmp_path}/outlast.db-files: copy them" in refused.err
    assert copied.code == 0
    assert (tmp_path / "shared" / file).read_bytes() == b"an upload"
    assert f"OUTLAST_FILES=file:{tmp_path}/shared" in copied.err


def test_files_that_have_a_place_of_their_own_stay_there(file, postgres, outlast, tmp_path, monkeypatch):
    monkeypatch.setenv("OUTLAST_FILES", f"file:{tmp_path}/outlast.db-files")

    ran = outlast("move", OLD, postgres)

    assert ran.code == 0
    assert "1 stored file." in ran.out
    assert f"OUTLAST_FILES=file:{tmp_path}/outlast.db-files" in ran.err


def test_a_file_that_is_gone_or_damaged_is_told_and_hinders_nobody(file, left, outlast, tmp_path):
    left.insert([new_job(files=f'["{"a" * 64}.1"]')])
    (tmp_path / "outlast.db-files" / file).write_bytes(b"changed")

    ran = outlast("move", OLD, "sqlite:///new.db", "--files", f"file:{tmp_path}/new.db-files")

    assert ran.code == 0
    assert f"{'a' * 64}.1 is not in file:" in ran.err
    assert f"{file} in file:{tmp_path}/outlast.db-files is damaged" in ran.err
    assert "2 files could not be copied" in ran.err


# ---- interrupted

MANY, HALF = 5000, 3000
# Whoever writes beyond the half waits until the test lets go.
STOP = """
CREATE FUNCTION stop() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT count(*) FROM {schema}.jobs) > {half} THEN
        PERFORM pg_advisory_xact_lock_shared(hashtext('{schema}'));
    END IF;
    RETURN NULL;
END $$
"""


@pytest.fixture
def many(left: Store) -> Store:
    left.insert([new_job() for _ in range(MANY)])
    return left


@contextmanager
def _stopped_half_way(url: str) -> Iterator[None]:
    """While a move to this store, begun by now or later, comes no further than half of the way."""
    schema = address_of(url).schema
    execute(url, STOP.format(schema=schema, half=HALF))
    execute(url, "CREATE TRIGGER stop AFTER INSERT ON jobs FOR EACH STATEMENT EXECUTE FUNCTION stop()")
    with connected(url) as connection:
        connection.execute(f"SELECT pg_advisory_lock(hashtext('{schema}'))".encode())
        yield


def test_killed_in_its_midst_it_goes_on_when_it_is_run_again(many, postgres, outlast):
    """With -9. Nothing is lost or doubled; meanwhile nobody works on either store."""
    with _stopped_half_way(postgres), _process("move", OLD, postgres) as process:
        assert polled(lambda: _count(postgres) == HALF, 60)
        process.kill()

    for url, told in ((OLD, "were moved to"), (postgres, "not all of them are here")):
        with pytest.raises(StoreUnusable, match=told), closing(open_store(url)) as store:
            store.workers()

    ran = outlast("move", OLD, postgres, "--json")
    assert ran.json["jobs"] == {"queued": MANY + 1}
    ids = [execute(url, "SELECT id FROM jobs ORDER BY seq") for url in (many.url, postgres)]
    assert ids[0] == ids[1]


def test_ctrl_c_says_that_it_is_not_over(many, postgres, outlast):
    with _stopped_half_way(postgres):
        screen = Screen("move", OLD, postgres)
        try:
            screen.until("3000/5001")
            screen.ctrl_c()
            assert screen.ended() == 130
        finally:
            screen.close()

    seen = " ".join(screen.seen.split())
    assert "Moving jobs" in seen
    assert "not all jobs are in" in seen
    assert "Run the same command again to go on" in seen
    assert outlast("move", OLD, postgres, "--json").json["jobs"] == {"queued": MANY + 1}


def _count(url: str) -> int:
    [(count,)] = execute(url, "SELECT count(*) FROM jobs")
    assert isinstance(count, int)
    return count


def _process(*words: str) -> subprocess.Popen[bytes]:
    command = [str(Path(sys.executable).with_name("outlast")), *words]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


@contextmanager
def _held(lock: Path) -> Iterator[None]:
    """While a process lives that holds this lock."""
    code = (
        "import sys; from pathlib import Path; from outlast import locks; locks.acquire(Path(sys.argv[1])); "
        "print(flush=True); input()"
    )
    command = [sys.executable, "-c", code, str(lock)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield
        process.kill()
