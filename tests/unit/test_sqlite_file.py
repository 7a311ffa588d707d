"""The file and its commits: what is flushed, who waits for whom, how it is made and brought up to date."""

import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from outlast.errors import NotConfirmed, StoreError, StoreUnusable
from outlast.job import Ended, Succeeded
from outlast.store import JobFilter, open_store, sqlite_file
from tests.contract.making import LEASE, ids, new_job, put, take, worker_record


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path / 'outlast.db'}"


@pytest.fixture
def store(url):
    store = open_store(url)
    store.enter(worker_record("w1", store.clock))
    store.flush()
    yield store
    store.close()


@pytest.fixture
def raw(store, tmp_path):
    """A connection of somebody else to the same file."""
    connection = sqlite3.connect(tmp_path / "outlast.db", isolation_level=None, check_same_thread=False)
    yield connection
    connection.close()


def commits(store, call):
    """For each commit of a call: whether SQLite was told to flush it."""
    is_full = "FULL" if store._file._full else "NORMAL"
    told = []

    def listen(sql):
        nonlocal is_full
        if sql.startswith("PRAGMA synchronous"):
            is_full = sql.split()[-1]
        elif sql == "COMMIT":
            told.append(is_full)

    store._file._connection.set_trace_callback(listen)
    call()
    store._file._connection.set_trace_callback(None)
    return told


# ---- what is flushed (P1)


def test_what_is_accepted_is_flushed(store):
    """To see it fail: let `insert` ask for no flush."""
    assert commits(store, lambda: put(store)) == ["FULL"]


def test_claims_and_ends_are_not_flushed(store):
    put(store)

    assert commits(store, lambda: take(store)) == ["NORMAL"]
    [record] = store.find()
    ends = [Ended(record.id, 1, Succeeded())]
    assert commits(store, lambda: store.settle(ends)) == ["NORMAL"]


def test_what_people_ask_for_is_flushed(store):
    job_id = put(store)

    assert commits(store, lambda: store.cancel(JobFilter(ids=(job_id,)))) == ["FULL"]
    assert commits(store, lambda: store.retry(JobFilter(ids=(job_id,)))) == ["FULL"]
    assert commits(store, lambda: store.pause("mail")) == ["FULL"]
    assert commits(store, lambda: store.resume("mail")) == ["FULL"]


def test_a_transaction_decides_for_what_is_inside_it(store):
    def insert_in(flush):
        with store.transaction(flush=flush):
            put(store)

    assert commits(store, lambda: insert_in(False)) == ["NORMAL"]
    assert commits(store, lambda: insert_in(True)) == ["FULL"]


def test_a_transaction_that_turns_out_to_need_a_flush_gets_one(store):
    """The setting cannot be changed inside a transaction: a second, empty commit flushes the first."""

    def join():
        with store.transaction(), store.transaction(flush=True):
            put(store)

    assert commits(store, join) == ["NORMAL", "FULL"]


def test_a_flush_puts_on_disk_what_was_committed_without(store):
    store.renew("w1", LEASE)

    assert commits(store, store.flush) == ["FULL"]
    assert commits(store, store.flush) == []


def test_a_flush_inside_a_transaction_comes_at_its_end(store):
    def flush_inside():
        with store.transaction():
            store.renew("w1", LEASE)
            store.flush()

    assert commits(store, flush_inside) == ["NORMAL", "FULL"]


def test_what_is_sent_again_is_flushed_though_it_was_there_already(store):
    """The second commit changes nothing, so SQLite would write nothing and flush nothing."""
    job = new_job(store)
    with store.transaction():
        store.insert([job])

    assert commits(store, lambda: store.insert([job])) == ["FULL", "FULL"]


def test_the_setting_is_not_sent_when_it_stays(store):
    sent = []
    store._file._connection.set_trace_callback(sent.append)
    for _ in range(3):
        store.renew("w1", LEASE)

    assert len([sql for sql in sent if sql.startswith("PRAGMA")]) <= 1


# ---- who waits for whom


def test_a_commit_waits_for_its_turn(store, raw):
    raw.execute("BEGIN IMMEDIATE")
    threading.Timer(0.05, raw.execute, ["COMMIT"]).start()

    job_id = put(store)
    assert ids(store.find()) == [job_id]


def test_a_commit_that_waited_too_long_is_not_confirmed(store, raw, monkeypatch):
    monkeypatch.setattr(sqlite_file, "PATIENCE", 0.01)
    raw.execute("BEGIN IMMEDIATE")

    with pytest.raises(NotConfirmed, match="kept locked by another process"):
        put(store)
    raw.execute("COMMIT")
    job_id = put(store)
    assert ids(store.find()) == [job_id]


def test_reading_does_not_wait_for_a_writer(store, raw, monkeypatch):
    monkeypatch.setattr(sqlite_file, "PATIENCE", 0.0)
    job_id = put(store)
    raw.execute("BEGIN IMMEDIATE")

    assert store.get(job_id).id == job_id
    assert store.counts()["ready"] == 1


def test_an_idle_worker_takes_no_lock(store, raw, monkeypatch):
    monkeypatch.setattr(sqlite_file, "PATIENCE", 0.0)
    raw.execute("BEGIN IMMEDIATE")

    assert store.claim("w1", 10) == []
    assert store.expire() == []
    assert not store.suspects()


# ---- how it is made


def test_a_file_is_ours_by_its_header(store, raw):
    assert raw.execute("PRAGMA application_id").fetchone() == (sqlite_file.APPLICATION_ID,)
    assert raw.execute("PRAGMA user_version").fetchone() == (sqlite_file._LATEST,)
    assert raw.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_many_that_make_one_store_at_once_all_get_it(url):
    start = threading.Barrier(8)

    def make(_):
        start.wait()
        store = open_store(url)
        job_id = put(store)
        store.close()
        return job_id

    with ThreadPoolExecutor(8) as threads:
        added = set(threads.map(make, range(8)))

    store = open_store(url, create=False)
    assert set(ids(store.find())) == added
    store.close()


def test_an_older_schema_is_brought_up_to_date(url, monkeypatch):
    open_store(url).close()
    newer = sqlite_file._LATEST + 1
    monkeypatch.setattr(
        sqlite_file, "_MIGRATIONS", [*sqlite_file._MIGRATIONS, (newer, "CREATE TABLE two (x);")]
    )
    monkeypatch.setattr(sqlite_file, "_LATEST", newer)

    store = open_store(url)
    assert store._execute("SELECT count(*) FROM two").fetchone() == (0,)
    assert store._execute("PRAGMA user_version").fetchone() == (newer,)
    store.close()


def test_a_store_of_the_first_schema_keeps_its_jobs(url, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(sqlite_file, "_MIGRATIONS", sqlite_file._MIGRATIONS[:1])
        open_store(url, even_moved=True).close()  # it has no facts yet
    with closing(sqlite3.connect(tmp_path / "outlast.db")) as first, first:
        first.execute("PRAGMA user_version = 1")
        first.execute(
            "INSERT INTO jobs (id, task, queue, priority, luggage, created_at, run_at, max_attempts, at_most_once,"
            " waiting, ready) VALUES ('old', 'app:task', 'default', 0, '{}', 1, 1, 5, 0, 0, 1)"
        )

    store = open_store(url)
    store.enter(worker_record("w1", store.clock))
    assert [job.id for job in store.claim("w1", 10)] == ["old"]
    store.close()


def test_a_migration_that_fails_half_way_leaves_the_schema_as_it_was(url, monkeypatch):
    open_store(url).close()
    broken = (sqlite_file._LATEST + 1, "CREATE TABLE two (x);\nCREATE TABLE jobs (x);")
    with monkeypatch.context() as patch:
        patch.setattr(sqlite_file, "_MIGRATIONS", [*sqlite_file._MIGRATIONS, broken])
        patch.setattr(sqlite_file, "_LATEST", broken[0])
        with pytest.raises(Exception, match="table jobs already exists"):
            open_store(url)

    store = open_store(url)
    put(store)
    assert store._execute("SELECT count(*) FROM sqlite_schema WHERE name = 'two'").fetchone() == (0,)
    store.close()


def test_a_statement_of_a_migration_may_be_a_trigger():
    table, trigger = (
        "CREATE TABLE a (x); -- one; two\n",
        "CREATE TRIGGER t AFTER INSERT ON a BEGIN\n  SELECT 1;\nEND;\n",
    )

    assert list(sqlite_file._statements(table + trigger)) == [table, trigger]


def test_what_is_read_at_one_moment_knows_nothing_of_what_is_written_meanwhile(url):
    reader, writer = open_store(url), open_store(url)
    job_id = put(writer)

    with reader._file.moment():
        assert reader.get(job_id).queue == "default"
        writer.pause("default")
        assert reader.queues()[0].paused_at is None

    assert reader.queues()[0].paused_at is not None
    reader.close()
    writer.close()


def test_a_store_in_memory_is_gone_when_it_is_closed():
    store = open_store("sqlite://")
    put(store)
    store.close()

    store = open_store("sqlite://")
    assert store.find() == []
    store.close()


# ---- reading only


def state_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_store_that_is_only_read_is_left_as_it_was(store, url, tmp_path):
    """Nothing is written, and no file is made beside one that nobody has open: another user could not write it."""
    job = put(store)
    beside_writer = state_of(tmp_path)

    reader = open_store(url, read_only=True)
    assert [each.id for each in reader.live()] == [job]
    with pytest.raises(StoreError):
        put(reader)
    reader.close()
    assert state_of(tmp_path).keys() == beside_writer.keys()
    assert state_of(tmp_path)["outlast.db"] == beside_writer["outlast.db"]

    store.close()
    at_rest = state_of(tmp_path)
    reader = open_store(url, read_only=True)
    assert [each.id for each in reader.live()] == [job]
    reader.close()
    assert state_of(tmp_path) == at_rest
    assert list(at_rest) == ["outlast.db"]


def test_a_store_of_an_older_schema_is_read_as_it_is(url, tmp_path, monkeypatch):
    """To see it fail: migrate it all the same."""
    with monkeypatch.context() as patched:
        patched.setattr(sqlite_file, "_MIGRATIONS", sqlite_file._MIGRATIONS[:1])
        open_store(url, even_moved=True).close()  # it has no facts yet
    with closing(sqlite3.connect(tmp_path / "outlast.db")) as old:
        old.execute(
            "INSERT INTO jobs (id, task, queue, priority, luggage, created_at, run_at, max_attempts, at_most_once,"
            " waiting, ready) VALUES ('one', 'app:task', 'default', 0, '{}', 1, 1, 5, 0, 0, 1)"
        )
        old.commit()

    reader = open_store(url, read_only=True)

    assert [tuple(each) for each in reader.live()] == [("one", "app:task", "{}", False)]
    assert reader.counts()["ready"] == 1
    reader.close()
    with closing(sqlite3.connect(tmp_path / "outlast.db")) as old:
        assert old.execute("PRAGMA user_version").fetchone() == (1,)


@pytest.mark.parametrize(
    ("name", "told"), [("sqlite:///missing.db", "there is no store at"), ("sqlite://", "in memory")]
)
def test_what_is_not_there_cannot_be_read(name, told):
    with pytest.raises(StoreUnusable, match=told):
        open_store(name, read_only=True)
