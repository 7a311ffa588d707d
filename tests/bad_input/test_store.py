"""A store that cannot be opened or written: what is said, and that nothing accepted is lost.

The files, mounts, rights and full disks are real. As root, rights stop nobody: the tests then become another user for a
moment. Where the system lets nobody mount, what needs a mount is left out; each of those has a twin that needs none.
"""

import os
import re
import resource
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from outlast.errors import NotConfirmed, StoreError, StoreUnusable
from outlast.job import Ended, Succeeded
from outlast.store import Store, open_store, sqlite_file, sqlite_place
from tests.contract.making import ids, new_job, put, take, worker_record

NOBODY = 65534


def open_at(path: Path, **options) -> Store:
    return open_store(f"sqlite:///{path}", **options)


def refusal(path: Path, **options) -> str:
    with pytest.raises(StoreUnusable) as refused:
        open_at(path, **options)
    assert str(path) in str(refused.value)
    return str(refused.value)


def content(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in path.parent.iterdir() if not file.name.endswith("-shm")}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "outlast.db"


@pytest.fixture
def used(path):
    """A store with one job in it, closed."""
    store = open_at(path)
    put(store)
    store.close()
    return path


# ---- the path


def test_a_folder_that_is_not_there_is_named_with_the_cure(tmp_path):
    path = tmp_path / "no" / "such" / "outlast.db"

    assert f"mkdir -p {path.parent}" in refusal(path)
    assert not (tmp_path / "no").exists()


def test_a_folder_that_is_a_file_is_named(tmp_path):
    file = tmp_path / "file"
    file.write_text("")

    assert f"{file} is a file, not a folder" in refusal(file / "outlast.db")
    assert f"{file} is a file, not a folder" in refusal(file / "deeper" / "outlast.db")


def test_a_folder_in_place_of_the_file_is_named_with_the_cure(tmp_path):
    assert f"sqlite:///{tmp_path}/outlast.db" in refusal(tmp_path)


def test_what_is_no_regular_file_is_refused(path):
    os.mkfifo(path)

    assert "not a regular file" in refusal(path)


def test_a_store_that_is_not_there_is_not_made_unless_asked_for(path):
    assert f"there is no store at {path}" in refusal(path, create=False)
    assert not path.exists()


def test_a_path_from_where_the_process_stands_is_told_whole(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    with pytest.raises(StoreUnusable, match=re.escape(str(tmp_path / "outlast.db"))):
        open_store("sqlite:///outlast.db", create=False)


def test_an_empty_file_is_no_store_yet(path):
    path.touch()

    assert "is empty and no store yet" in refusal(path, create=False)
    assert path.stat().st_size == 0
    open_at(path).close()


def test_a_network_file_system_is_refused_with_the_reason(path, tmp_path, monkeypatch):
    """Nothing here can mount one: the list of mounts says that the folder is one."""
    mounts = tmp_path / "mountinfo"
    mounts.write_text(f"31 27 0:40 / {tmp_path} rw - nfs4 server:/export rw\n")
    monkeypatch.setattr(sqlite_place, "_MOUNTS", mounts)

    assert "network file system (nfs4)" in refusal(path)
    assert not path.exists()


NETWORKS = "nfs nfs4 cifs smb3 smbfs ceph lustre glusterfs fuse.sshfs fuse.glusterfs fuse.ceph-fuse fuse.s3fs"
LOCAL = "ext4 xfs btrfs zfs overlay tmpfs apfs 9p virtiofs fuseblk fuse.portal"


@pytest.mark.parametrize("kind", NETWORKS.split())
def test_every_network_file_system_is_known_by_its_name(kind):
    assert sqlite_place._NETWORK.fullmatch(kind)


@pytest.mark.parametrize("kind", LOCAL.split())
def test_no_local_file_system_is_taken_for_one(kind):
    assert not sqlite_place._NETWORK.fullmatch(kind)


# ---- rights and mounts


@contextmanager
def without_rights() -> Iterator[None]:
    """Rights stop anybody but root: be somebody else for a moment."""
    if os.getuid() != 0:
        yield
        return
    os.setresuid(NOBODY, NOBODY, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)


@pytest.fixture
def open_folder():
    """A folder that every user can reach, unlike those of pytest."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


def test_a_folder_that_may_not_be_written_is_named(open_folder):
    open_folder.chmod(0o555)

    with without_rights():
        assert f"may not write the folder {open_folder}" in refusal(open_folder / "outlast.db")


def test_a_file_that_may_not_be_written_is_named(open_folder):
    path = open_folder / "outlast.db"
    open_at(path).close()
    path.chmod(0o444)
    open_folder.chmod(0o777)
    before = content(path)

    with without_rights():
        assert f"may not write the file {path}" in refusal(path)
    assert content(path) == before


def mount(*arguments: str) -> None:
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"nobody may mount here: {done.stderr.strip()}")


@pytest.fixture
def mounted(tmp_path):
    """A folder to mount something on."""
    folder = tmp_path / "mounted"
    folder.mkdir()
    yield folder
    subprocess.run(["umount", "--lazy", folder], capture_output=True, check=False)


def test_a_read_only_mount_is_named_as_one(mounted):
    open_at(mounted / "outlast.db").close()
    mount("-o", "bind,ro", str(mounted), str(mounted))

    assert "read-only mount" in refusal(mounted / "outlast.db")
    assert "read-only mount" in refusal(mounted / "other.db")


def test_a_mount_that_becomes_read_only_loses_nothing(mounted):
    mount("-t", "tmpfs", "-o", "size=4m", "tmpfs", str(mounted))
    store = open_at(mounted / "outlast.db")
    job_id = put(store)
    store.close()
    mount("-o", "remount,ro", str(mounted))

    refusal(mounted / "outlast.db")
    mount("-o", "remount,rw", str(mounted))
    store = open_at(mounted / "outlast.db")
    assert ids(store.find()) == [job_id]
    store.close()


# ---- the content


def test_a_file_that_is_no_database_is_refused_and_left_alone(path):
    path.write_bytes(b"Dear diary, " * 1000)

    assert "is not an SQLite database" in refusal(path)
    assert path.read_bytes() == b"Dear diary, " * 1000


def test_a_damaged_header_is_told(used):
    damaged = b"\0" * 100 + used.read_bytes()[100:]
    used.write_bytes(damaged)

    assert "its first bytes are damaged" in refusal(used)
    assert used.read_bytes() == damaged


def test_a_damaged_schema_is_told_with_the_cure(used):
    damaged = bytearray(used.read_bytes())
    damaged[100:4096] = b"\xff" * 3996
    used.write_bytes(damaged)

    assert "is damaged" in refusal(used)


def test_damage_that_is_met_later_is_told_with_the_cure(used):
    connection = sqlite3.connect(used)
    [(page,)] = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'jobs'").fetchall()
    connection.close()
    damaged = bytearray(used.read_bytes())
    damaged[4096 * (page - 1) : 4096 * page] = b"\xff" * 4096
    used.write_bytes(damaged)

    store = open_at(used)
    with pytest.raises(StoreUnusable, match=r"is damaged .* restore a backup or save what is left"):
        store.find()
    with pytest.raises(StoreUnusable, match="is damaged"):
        put(store)
    store.close()


def test_a_database_of_another_program_is_refused_and_left_alone(path):
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE users (name)")
    connection.commit()
    connection.close()
    before = content(path)

    assert "database of another program" in refusal(path)
    assert content(path) == before


def test_a_database_from_a_newer_outlast_is_refused_and_left_alone(used):
    connection = sqlite3.connect(used)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    before = content(used)

    told = refusal(used)
    assert "written by a newer Outlast (its schema is 99" in told
    assert "upgrade outlast" in told
    assert content(used) == before


@pytest.mark.parametrize("change", ["deleted", "replaced"])
def test_a_file_that_goes_away_under_an_open_store_takes_no_more_jobs(path, tmp_path, change):
    """Its connection would go on writing into a file that nobody else sees."""
    store = open_at(path)
    path.rename(tmp_path / "moved.db")
    if change == "replaced":
        open_at(path).close()

    with pytest.raises(StoreUnusable, match="was deleted or replaced while it was open"):
        put(store)
    store.close()


# ---- the disk


def accepted_until_full(store) -> list[str]:
    """Puts jobs until the store refuses one; the ids of those that it accepted."""
    accepted = []
    with pytest.raises(NotConfirmed, match=r"the disk is full.*nothing was lost") as refused:
        for _ in range(10_000):
            jobs = [new_job(store, luggage="x" * 2000) for _ in range(5)]
            store.insert(jobs)
            accepted += ids(jobs)
    assert "Free some space" in str(refused.value)
    return accepted


def check_intact(store, accepted):
    assert set(ids(store.find(limit=len(accepted) + 10))) == set(accepted)
    assert store.counts()["ready"] == len(accepted)
    assert store.get(accepted[-1]).luggage == "x" * 2000


def run_all(store):
    while jobs := store.claim("w1", 100):
        settled = store.settle([Ended(job.id, job.attempt, Succeeded()) for job in jobs])
        assert all(one.ending for one in settled)


def check_integrity(path):
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()


def check_that_it_survives_being_full(store, path, *, make_room):
    accepted = accepted_until_full(store)
    assert len(accepted) > 50
    check_intact(store, accepted)
    make_room()
    accepted.append(put(store))
    run_all(store)
    assert store.counts()["succeeded"] == len(accepted)
    store.close()
    check_integrity(path)


def test_a_store_that_may_not_grow_keeps_what_it_accepted(path):
    store = open_at(path)
    store.enter(worker_record("w1", store.clock))
    store._execute("PRAGMA max_page_count = 100")

    check_that_it_survives_being_full(
        store, path, make_room=lambda: store._execute("PRAGMA max_page_count = 100000")
    )


def test_a_full_disk_keeps_what_was_accepted(mounted):
    mount("-t", "tmpfs", "-o", "size=24m", "tmpfs", str(mounted))
    path, ballast = mounted / "outlast.db", mounted / "ballast"
    ballast.write_bytes(b"\0" * (22 << 20))
    store = open_at(path)
    store.enter(worker_record("w1", store.clock))

    check_that_it_survives_being_full(store, path, make_room=ballast.unlink)


def test_a_full_disk_ends_no_job_by_halves(mounted):
    mount("-t", "tmpfs", "-o", "size=1m", "tmpfs", str(mounted))
    store = open_at(mounted / "outlast.db")
    store.enter(worker_record("w1", store.clock))
    put(store)
    job = take(store)
    (mounted / "ballast").write_bytes(b"\0" * shutil.disk_usage(mounted).free)

    ends = [Ended(job.id, job.attempt, Succeeded('"' + "x" * 100_000 + '"'))]
    with pytest.raises(NotConfirmed, match="the disk is full"):
        store.settle(ends)
    assert store.get(job.id).state == "running"
    (mounted / "ballast").unlink()
    assert store.settle(ends)[0].ending.state == "succeeded"
    store.close()


@contextmanager
def files_no_larger_than(size: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_disk_that_fails_confirms_nothing_and_loses_nothing(path):
    """A limit on the size of files makes the disk fail: writing beyond it is an error."""
    store = open_at(path)
    accepted = [put(store)]
    size = (path.parent / "outlast.db-wal").stat().st_size

    with (
        files_no_larger_than(size + 100),
        pytest.raises(NotConfirmed, match=r"the disk failed under .* send it again"),
    ):
        put(store)
    assert ids(store.find()) == accepted
    accepted.append(put(store))
    assert set(ids(store.find())) == set(accepted)
    store.close()
    check_integrity(path)


# ---- what is left


def test_a_row_that_breaks_a_rule_is_told_by_the_name_of_the_rule(path):
    store = open_at(path)

    with pytest.raises(StoreError, match=r"NOT NULL constraint failed: jobs\.luggage"):
        put(store, luggage=None)
    store.close()


def test_an_old_sqlite_is_told(path, monkeypatch):
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 34, 1))
    monkeypatch.setattr(sqlite3, "sqlite_version", "3.34.1")

    with pytest.raises(StoreUnusable, match=r"this Python has SQLite 3\.34\.1, Outlast needs 3\.37"):
        open_at(path)


def test_a_lock_that_is_never_freed_is_told(path, monkeypatch):
    monkeypatch.setattr(sqlite_file, "PATIENCE", 0.01)
    store = open_at(path)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    with pytest.raises(NotConfirmed, match=r"kept locked by another process for 0\.01 s"):
        put(store)
    other.close()
    put(store)
    store.close()
