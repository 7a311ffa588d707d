"""Where files lie: a folder, or what fsspec reaches. What is stored is whole, flushed, and there once."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from outlast.clock import ManualClock
from outlast.errors import FileMissing, NotConfirmed, OptionRefused
from outlast.files import CHUNK, Files, files_url, is_name, is_old, name_of, open_files, part_name
from outlast.files.folder import Folder
from outlast.files.freight import Freight
from outlast.files.sources import Memory
from tests.places import PLACES, url_of

HOUR = 3_600_000_000
NOW = 498_756 * HOUR + 1
CONTENT = bytes(range(256)) * 4096


@pytest.fixture(params=["folder of this process", *PLACES])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Files]:
    files = open_files(url_of(request.param, tmp_path) if request.param in PLACES else None)
    yield files
    files.close()


def read(files: Files, name: str) -> bytes:
    with files.open(name) as file:
        return file.readall()


def test_a_file_is_named_by_its_content_and_read_back(files: Files) -> None:
    name = files.put(Memory(CONTENT), NOW)

    assert name == f"{hashlib.sha256(CONTENT).hexdigest()}.498756"
    assert read(files, name) == CONTENT
    assert list(files.names()) == [name]


def test_an_empty_file_is_a_file(files: Files) -> None:
    assert read(files, files.put(Memory(b""), NOW)) == b""


def test_a_file_is_read_from_any_place(files: Files) -> None:
    with files.open(files.put(Memory(b"0123456789"), NOW)) as file:
        assert file.seek(3) == 3
        assert file.read(4) == b"3456"
        assert file.tell() == 7
        assert file.seek(-1, os.SEEK_END) == 9
        assert file.read(4) == b"9"
        assert file.read(4) == b""


def test_equal_content_of_one_hour_lies_there_once(files: Files) -> None:
    names = {files.put(Memory(CONTENT), NOW), files.put(Memory(CONTENT), NOW + HOUR - 2)}

    assert list(files.names()) == [*names]
    assert read(files, *names) == CONTENT


def test_equal_content_of_a_later_hour_lies_there_under_a_later_name(files: Files) -> None:
    """So that a sweep which looks at the old name need not fear whoever stores it again. Break it: in name_of."""
    names = [files.put(Memory(CONTENT), NOW), files.put(Memory(CONTENT), NOW + HOUR)]

    assert sorted(files.names()) == names


def test_what_is_deleted_is_gone_and_may_be_deleted_again(files: Files) -> None:
    name = files.put(Memory(CONTENT), NOW)
    files.delete(name)
    files.delete(name)

    assert list(files.names()) == []
    with pytest.raises(FileNotFoundError):
        files.open(name)


def test_nothing_is_there_before_something_is_stored(files: Files) -> None:
    assert list(files.names()) == []
    files.delete(name_of("0" * 64, NOW))
    with pytest.raises(FileNotFoundError):
        files.open(name_of("0" * 64, NOW))


class Broken:
    """Content whose reading fails."""

    size = 2 * CHUNK

    def chunks(self) -> Iterator[bytes]:
        yield bytes(CHUNK)
        raise OSError(5, "Input/output error")


def test_what_fails_on_the_way_is_not_confirmed_and_leaves_nothing(files: Files) -> None:
    with pytest.raises(NotConfirmed, match="524,288 bytes could not be stored"):
        files.put(Broken(), NOW)
    assert list(files.names()) == []


# ---- a folder


def test_a_folder_and_its_files_are_for_their_user_alone(tmp_path: Path) -> None:
    folder = tmp_path / "files"
    name = Folder(str(folder)).put(Memory(CONTENT), NOW)

    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600


def test_a_file_and_its_name_are_flushed_in_this_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Break it: leave out either fsync in folder.py, or rename before the first."""
    folder, seen = Folder(str(tmp_path)), []

    def flush(descriptor: int, real: Callable[[int], None] = os.fsync) -> None:
        seen.append((os.readlink(f"/proc/self/fd/{descriptor}"), sorted(folder.names())))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", flush)
    name = folder.put(Memory(CONTENT), NOW)

    (part, before), (place, after) = seen
    assert ".part." in part
    assert name not in before
    assert (place, after) == (str(tmp_path), [name])


def test_a_folder_that_cannot_be_written_is_told_with_place_and_cure(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotConfirmed, match=rf"1,048,576 bytes .* {tmp_path}/file .*; free some space"):
        Folder(str(tmp_path / "file")).put(Memory(CONTENT), NOW)


def test_of_a_folder_of_this_process_nothing_is_left() -> None:
    files = Folder(None)
    name = files.put(Memory(CONTENT), NOW)
    with files.open(name) as file:
        folder = Path(os.readlink(f"/proc/self/fd/{file.fileno()}")).parent

    files.close()

    assert not folder.exists()
    assert read(files, files.put(Memory(CONTENT), NOW)) == CONTENT  # used again, it opens again
    files.close()


# ---- names and URLs


def test_a_name_is_old_one_whole_hour_after_its_own_has_ended() -> None:
    for name in (name_of("0" * 64, NOW), part_name("0" * 32, NOW)):
        assert not is_old(name, NOW + 2 * HOUR - 2)
        assert is_old(name, NOW + 2 * HOUR)


@pytest.mark.parametrize(
    "name", ["README", "0" * 64, f"{'0' * 63}.1", f"../{'0' * 64}.1", f"{'0' * 64}.1.gz"]
)
def test_whatever_else_lies_there_is_never_ours(name: str) -> None:
    assert not is_name(name)
    assert not is_old(name, NOW)


@pytest.mark.parametrize(
    ("told", "store", "url"),
    [
        (None, "sqlite:////srv/outlast.db", "file:/srv/outlast.db-files"),
        (None, "sqlite:///:memory:", None),
        ("s3://bucket/files", "sqlite:///:memory:", None),
        ("file:/srv/files", "sqlite:////srv/outlast.db", "file:/srv/files"),
        ("file:///srv/files", "sqlite:////srv/outlast.db", "file:/srv/files"),
        ("file:files", "sqlite:////srv/outlast.db", f"file:{Path.cwd()}/files"),
        ("s3://bucket/files", "sqlite:////srv/outlast.db", "s3://bucket/files"),
    ],
)
def test_files_lie_beside_their_store_or_where_they_are_told_to(
    told: str | None, store: str, url: str | None
) -> None:
    assert files_url(told, store) == url


def test_a_path_is_no_url() -> None:
    with pytest.raises(
        OptionRefused, match=r"files='uploads' .* is no URL; for a folder give 'file:uploads'"
    ):
        files_url("uploads", "sqlite:////srv/outlast.db")


def test_a_place_that_fsspec_does_not_know_is_refused_when_it_is_used() -> None:
    with pytest.raises(OptionRefused, match=r"files='nowhere://x' cannot be used: .*nowhere"):
        open_files("nowhere://x").put(Memory(b""), NOW)


def test_without_fsspec_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("outlast.files.remote.find_spec", lambda name: None)
    with pytest.raises(OptionRefused, match=r"pip install 'outlast\[files\]'"):
        open_files("memory://x")


def test_elsewhere_a_file_that_was_broken_off_is_written_again(tmp_path: Path) -> None:
    """Break it: in Remote._has, do not compare the size."""
    files = open_files(f"memory://{tmp_path.name}")
    name = name_of(hashlib.sha256(CONTENT).hexdigest(), NOW)
    fsspec.filesystem("memory").pipe_file(f"/{tmp_path.name}/{name}", CONTENT[:10])

    assert read(files, files.put(Memory(CONTENT), NOW)) == CONTENT


class Remembering(MemoryFileSystem):
    """Believes what it has listed, as those of object storage do, until it is told to forget."""

    protocol = "remembering"
    listed: ClassVar[dict[str, Any]] = {}

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        stripped: str = super()._strip_protocol(path.removeprefix("remembering:/"))
        return stripped

    def ls(self, path: str, detail: bool = True, **how: Any) -> Any:
        for entry in super().ls(path, detail=True):
            self.listed[entry["name"]] = entry
        self.listed[path] = path
        return super().ls(path, detail=detail)

    def info(self, path: str, **how: Any) -> Any:
        if path.rpartition("/")[0] in self.listed and path not in self.listed:
            raise FileNotFoundError(path)
        return self.listed.get(path) or super().info(path)

    def invalidate_cache(self, path: str | None = None) -> None:
        self.listed.clear()


def test_what_another_process_stores_or_deletes_is_seen_at_once(tmp_path: Path) -> None:
    """Break it: in Remote._size, leave out invalidate_cache."""
    fsspec.register_implementation("remembering", Remembering, clobber=True)
    ours, theirs = open_files(f"remembering://{tmp_path.name}"), open_files(f"memory://{tmp_path.name}")
    name = theirs.put(Memory(b"first"), NOW)
    assert list(ours.names()) == [name]

    second = theirs.put(Memory(b"second"), NOW)
    assert read(ours, second) == b"second"
    theirs.delete(name)
    assert read(ours, ours.put(Memory(b"first"), NOW)) == b"first"


# ---- a queue's


def freight(url: str | None, clock: ManualClock) -> Freight:
    return Freight(url, clock, payload_limit=10, file_limit=None, takes_bulk=True)


def test_a_sweep_deletes_what_is_old_and_unused(files: Files, tmp_path: Path) -> None:
    """Break each: in Freight.sweep, leave out `is_old`; leave out `in_use`."""
    clock = ManualClock()
    ours = freight(None, clock)
    ours.files = files
    then = clock.now()
    used, unused = files.put(Memory(b"used"), then), files.put(Memory(b"unused"), then)
    young = files.put(Memory(b"young"), then + 2 * HOUR)
    clock.advance(timedelta(hours=2))

    assert ours.sweep(lambda names: {used} & set(names)) == [unused]
    assert sorted(files.names()) == sorted([used, young])


def test_a_sweep_may_be_of_a_few_names(files: Files) -> None:
    clock = ManualClock()
    ours = freight(None, clock)
    ours.files = files
    one, other = (files.put(Memory(content), clock.now()) for content in (b"1", b"2"))
    clock.advance(timedelta(hours=2))

    assert ours.sweep(lambda names: set(), [one]) == [one]
    assert list(files.names()) == [other]


def test_a_text_in_a_file_that_is_gone_is_missed_by_name(files: Files) -> None:
    clock = ManualClock()
    ours = freight(None, clock)
    ours.files = files
    text, name = ours.stow_text('"' + "x" * 20 + '"')
    assert ours.text(text, "the result") == '"' + "x" * 20 + '"'
    files.delete(name)

    with pytest.raises(
        FileMissing, match=rf"the result is not there: .* has no {name}\. .*; then retry the job"
    ):
        ours.text(text, "the result")
