"""Where the processes of one store meet: the same place under every name of the store, private, and short enough."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from outlast import locks
from outlast.errors import StoreUnusable
from outlast.premises import Premises


@pytest.fixture(autouse=True)
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "run"
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    return folder / f"outlast-{os.getuid()}"


def test_the_locks_lie_beside_the_store(tmp_path: Path) -> None:
    premises = Premises(f"sqlite:///{tmp_path / 'outlast.db'}")

    assert premises.seat == tmp_path / "outlast.db-locks" / "seat.lock"
    assert premises.folder.stat().st_mode & 0o777 == 0o700


def test_two_names_of_one_store_lead_to_one_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path, a path through a link: the same file, the same seat, the same socket."""
    (tmp_path / "data").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "data")
    monkeypatch.chdir(tmp_path / "data")
    names = ["outlast.db", "../data/outlast.db", f"{tmp_path}/link/outlast.db", f"{tmp_path}/data/outlast.db"]
    places = [Premises(f"sqlite:///{name}") for name in names]

    assert len({place.seat for place in places}) == 1
    assert len({place.socket for place in places}) == 1


def test_two_stores_do_not_meet(tmp_path: Path) -> None:
    one, other = (Premises(f"sqlite:///{tmp_path / name}") for name in ("one.db", "other.db"))

    assert one.seat != other.seat
    assert one.socket != other.socket


def test_a_workers_children_are_found_by_their_locks(tmp_path: Path) -> None:
    premises = Premises(f"sqlite:///{tmp_path / 'outlast.db'}")
    for path in (
        premises.worker("a"),
        premises.child("a", 1),
        premises.child("a", 12),
        premises.child("b", 1),
    ):
        path.touch()

    assert sorted(premises.children("a")) == [premises.child("a", 1), premises.child("a", 12)]
    assert premises.children("c") == []


def test_asking_for_a_free_seat_makes_nothing(tmp_path: Path) -> None:
    premises = Premises(f"sqlite:///{tmp_path / 'outlast.db'}")

    assert premises.duty_is_free()
    assert not premises.folder.exists()
    locks.acquire(premises.duty)
    assert not premises.duty_is_free()
    locks.release(premises.duty)
    assert premises.duty_is_free()


def test_the_name_of_the_socket_is_short_however_deep_the_store_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such names may have about a hundred bytes."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/tmp")
    deep = tmp_path.joinpath(*["a folder with a long name"] * 12)
    deep.mkdir(parents=True)
    premises = Premises(f"sqlite:///{deep / 'outlast.db'}")

    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(premises.socket)
    os.unlink(premises.socket)


def test_the_sockets_folder_is_made_for_this_user_alone(tmp_path: Path, runtime: Path) -> None:
    assert Premises(f"sqlite:///{tmp_path / 'outlast.db'}").socket.startswith(f"{runtime}/")
    assert runtime.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("what", ["others may enter", "a link"])
def test_a_folder_that_is_not_ours_alone_is_refused(tmp_path: Path, runtime: Path, what: str) -> None:
    """Somebody else may have put it there, to listen."""
    if what == "a link":
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir(mode=0o700)
        runtime.parent.mkdir()
        runtime.symlink_to(elsewhere)
    else:
        runtime.mkdir(parents=True)
        runtime.chmod(0o755)

    with pytest.raises(StoreUnusable, match="not a folder of this user alone; remove it"):
        _ = Premises(f"sqlite:///{tmp_path / 'outlast.db'}").socket


def test_a_place_where_no_folder_can_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(StoreUnusable, match="cannot make the folder of lock files"):
        _ = Premises(f"sqlite:///{tmp_path / 'file' / 'outlast.db'}").seat


def test_a_seat_that_this_user_may_not_see_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server was started by another user before. (Patched, as the user who runs the tests may open any file.)"""

    def refused(*_: object, **__: object) -> int:
        raise PermissionError(13, "Permission denied")

    premises = Premises(f"sqlite:///{tmp_path / 'outlast.db'}")
    premises.seat.touch()
    monkeypatch.setattr(locks, "holder", refused)
    with pytest.raises(StoreUnusable, match="run everything that uses this store as one user"):
        premises.duty_is_free()
