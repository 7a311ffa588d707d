"""Where an SQLite store lies: from its URL to its path, and what is wrong with that place before SQLite is asked.

SQLite says "unable to open database file" to all of it; a person needs to know which, and what to do.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from outlast.errors import StoreUnusable

_MEMORY = ("sqlite:///:memory:", "sqlite://")
_MOUNTS = Path("/proc/self/mountinfo")
# Their locks or their shared memory do not reach the other machines. 9p and virtiofs are left out: they are how a
# virtual machine sees a folder of its own host.
_NETWORK = re.compile(
    r"nfs\d?|cifs|smb\w*|ceph|lustre|afs|gfs2|ocfs2|gpfs|beegfs|glusterfs|pvfs2|orangefs"
    r"|fuse\.(sshfs|ceph\S*|glusterfs|s3fs|goofys|gcsfuse|rclone|juicefs|davfs\S*|smb\S*|moosefs|mfs)"
)


def name_and_path(url: str) -> tuple[str, Path | None]:
    """The URL with its path made absolute, and that path; None for a store in memory. Raises StoreUnusable."""
    if url in _MEMORY:
        return _MEMORY[0], None
    path = Path(os.path.abspath(_path_text(url)))
    return f"sqlite:///{path}", path


def _path_text(url: str) -> str:
    plain, mark, _ = url.partition("?")
    if not plain.startswith("sqlite:///"):
        raise _misspelt(url, "sqlite:///" + plain.removeprefix("sqlite:").lstrip("/"))
    if mark:
        raise StoreUnusable(f"{url!r}: an SQLite store takes no parameters; did you mean {plain!r}?")
    if plain == "sqlite:///":
        raise _misspelt(url, "sqlite:///outlast.db")
    return plain.removeprefix("sqlite:///")


def _misspelt(url: str, meant: str) -> StoreUnusable:
    return StoreUnusable(
        f"{url!r} names no file; did you mean {meant!r}? "
        "(three slashes before a relative path, four for an absolute one)"
    )


def check_place(path: Path, *, create: bool, read_only: bool = False) -> None:
    """Raise StoreUnusable if no store can be here. What changes later, SQLite itself will say."""
    if (read_only or not create) and not path.exists():
        raise StoreUnusable(
            f"there is no store at {path}; start the app once to make it, or name the right file (OUTLAST_STORE)"
        )
    _require_folder(path)
    _require_file(path)
    _require_local(path)
    if not read_only:
        _require_rights(path)


def _require_folder(path: Path) -> None:
    folder = path.parent
    if folder.is_dir():
        return
    there = next(parent for parent in path.parents if parent.exists())
    if there == folder or not there.is_dir():
        raise StoreUnusable(f"{path} cannot be made: {there} is a file, not a folder; name another path")
    raise StoreUnusable(
        f"{path} cannot be made: the folder {folder} does not exist; make it: mkdir -p {folder}"
    )


def _require_file(path: Path) -> None:
    if path.is_dir():
        raise StoreUnusable(f"{path} is a folder; name a file in it: sqlite:///{path / 'outlast.db'}")
    if path.exists() and not path.is_file():
        raise StoreUnusable(f"{path} is not a regular file; name another path")


def _require_local(path: Path) -> None:
    kind = file_system(path, _mounts())
    if _NETWORK.fullmatch(kind):
        raise StoreUnusable(
            f"{path} lies on a network file system ({kind}): SQLite's locks and shared memory do not work there, and "
            "jobs would be lost; put the store on a local disk"
        )


def _mounts() -> str:
    """Linux alone has this file."""
    try:
        return _MOUNTS.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return ""


def file_system(path: Path, mounts: str) -> str:
    """The type of the file system that a path lies on, by the text of Linux's mountinfo (proc_pid_mountinfo(5))."""
    real, kind, longest = os.path.realpath(path), "", -1
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        point = _unescaped(before.split(" ")[4])
        # Of two mounts on one point, the later hides the earlier.
        if len(point) >= longest and _lies_in(real, point):
            kind, longest = after.split(" ")[0], len(point)
    return kind


def _unescaped(point: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), point)


def _lies_in(path: str, point: str) -> bool:
    return path == point or path.startswith(point.rstrip("/") + "/")


def _require_rights(path: Path) -> None:
    """A write-ahead log needs its folder too: SQLite makes two files beside the first."""
    for place in (path, path.parent):
        if place.exists() and not os.access(place, os.W_OK):
            raise StoreUnusable(f"{path} cannot be written: {_why_not(place)}")


def _why_not(place: Path) -> str:
    if hasattr(os, "statvfs") and os.statvfs(place).f_flag & os.ST_RDONLY:
        return f"{place} lies on a read-only mount; mount it writable, or name another path"
    what = "folder" if place.is_dir() else "file"
    return f"this user may not write the {what} {place}; change its rights or its owner, or name another path"
