"""Where an SQLite store lies: URLs and file systems."""

from pathlib import Path

import pytest

from outlast.errors import StoreUnusable
from outlast.store import open_store, store_url
from outlast.store.sqlite_place import file_system, name_and_path

MOUNTS = r"""
22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard
31 27 0:40 / /mnt/share rw,relatime shared:5 master:7 - nfs4 server:/export rw,vers=4.2
32 31 0:41 / /mnt/share/local rw,relatime - xfs /dev/vdb rw
33 27 0:42 / /mnt/with\040space rw,relatime - fuse.sshfs user@host: rw
34 27 0:43 / /mnt/twice rw,relatime - ext4 /dev/vdc rw
35 27 0:44 / /mnt/twice rw,relatime - cifs //server/share rw
""".strip()


def test_three_slashes_are_a_path_from_where_the_process_stands(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    assert name_and_path("sqlite:///jobs/outlast.db")[1] == tmp_path / "jobs" / "outlast.db"


def test_four_slashes_are_a_path_from_the_root():
    assert name_and_path("sqlite:////var/lib/outlast.db")[1] == Path("/var/lib/outlast.db")


def test_a_store_keeps_its_name_when_its_process_moves(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store = open_store("sqlite:///outlast.db")
    monkeypatch.chdir("/")

    assert store.url == f"sqlite:///{tmp_path}/outlast.db" == store_url(store.url)
    store.close()
    open_store(store.url, create=False).close()


@pytest.mark.parametrize("name", ["a b.db", "ä.db", "100%.db", "#1.db", "%41.db", "a&b=c.db"])
def test_a_path_is_taken_as_it_is_written(tmp_path, name):
    open_store(f"sqlite:///{tmp_path}/{name}").close()

    assert (tmp_path / name).is_file()


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:"])
def test_a_store_in_memory_has_no_path(url):
    assert name_and_path(url) == ("sqlite:///:memory:", None)


@pytest.mark.parametrize(
    ("url", "meant"),
    [
        ("sqlite://outlast.db", "sqlite:///outlast.db"),
        ("sqlite:outlast.db", "sqlite:///outlast.db"),
        ("sqlite:/outlast.db", "sqlite:///outlast.db"),
        ("sqlite:///", "sqlite:///outlast.db"),
        ("sqlite:///outlast.db?timeout=5", "sqlite:///outlast.db"),
        ("sqlite:////tmp/outlast.db?mode=ro", "sqlite:////tmp/outlast.db"),
    ],
)
def test_a_url_that_is_misspelt_is_answered_with_what_was_meant(url, meant):
    with pytest.raises(StoreUnusable, match="did you mean") as refusal:
        open_store(url)
    assert f"did you mean {meant!r}?" in str(refusal.value)


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/home/me/outlast.db", "ext4"),
        ("/mnt/share/outlast.db", "nfs4"),
        ("/mnt/share/local/outlast.db", "xfs"),
        ("/mnt/shared/outlast.db", "ext4"),
        ("/mnt/with space/outlast.db", "fuse.sshfs"),
        ("/mnt/twice/outlast.db", "cifs"),
    ],
)
def test_a_path_lies_on_the_innermost_mount(path, kind):
    assert file_system(Path(path), MOUNTS) == kind


def test_where_mounts_are_not_told_the_file_system_is_not_known():
    assert file_system(Path("/home"), "") == ""
