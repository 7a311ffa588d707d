"""Stored files: uploads, and what else is too large for a row, in a folder beside the store or where fsspec reaches.

A name is `HASH.HOUR`: the SHA-256 of the content, and the hour in which it was stored. So equal content of one hour
lies there once, and the age of a file is told by its name: what is stored later gets a later name. Hence an old name
that no job uses is never needed again, and to delete it takes no lock, which object storage does not have.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from io import RawIOBase
from typing import Protocol
from urllib.parse import urlsplit

from outlast.address import is_postgres
from outlast.errors import OptionRefused

NOWHERE = "nowhere:"
"""The URL of no place at all."""
CHUNK = 1 << 18
"""Bytes in memory at a time."""
_HOUR = 3_600_000_000
_GRACE = 2
"""Hours after which a file that no job uses is needed by none that is on its way to the store. The first is its own."""
_NAME = re.compile(r"(?:[0-9a-f]{64}|[0-9a-f]{32}\.part)\.(\d+)")


class Content(Protocol):
    """What is to be stored, as often as it is asked for."""

    size: int

    def chunks(self) -> Iterator[bytes]:
        """Its bytes from the first to the last, at most CHUNK at a time."""


class Files(Protocol):
    """A place that keeps files. Every method may be called by any thread, and blocks."""

    url: str

    def put(self, content: Content, now: int) -> str:
        """Store it (`now` in microseconds) and return its name; on disk when this returns. Raises NotConfirmed."""

    def open(self, name: str) -> RawIOBase:
        """A file to read from, unbuffered. Raises FileNotFoundError."""

    def names(self) -> Iterable[str]:
        """Everything that is there, also what was not finished; whatever else lies there is left out."""

    def delete(self, name: str) -> None:
        """Delete a file, if it is there."""

    def close(self) -> None:
        """Of a folder for this process alone, nothing is left."""


def name_of(digest: str, now: int) -> str:
    """The name of what has this hash and is stored now."""
    return f"{digest}.{now // _HOUR}"


def part_name(number: str, now: int) -> str:
    """The name of what is being stored and has no hash yet."""
    return f"{number}.part.{now // _HOUR}"


def is_name(name: str) -> bool:
    """Whether one of us gave it, so that nothing else is ever deleted."""
    return _NAME.fullmatch(name) is not None


def is_old(name: str, now: int) -> bool:
    """Whether no commit that uses it can still be on its way."""
    found = _NAME.fullmatch(name)
    return found is not None and int(found[1]) + _GRACE <= now // _HOUR


def stored_at(name: str) -> int:
    """The time (µs) that a name tells: stored at that time again, the same content gets the same name."""
    return int(name.rpartition(".")[2]) * _HOUR


def files_url(told: str | None, store: str) -> str | None:
    """The URL of a queue's files as every process names it; None for a folder of this process alone.

    Without one of its own, a store that is a file has them beside it, and a database nowhere. One in memory never has
    any elsewhere: a test must not write to the place of production, nor find there what none of its own jobs uses.
    Raises OptionRefused.
    """
    url = None if told is None else _absolute(told)
    if store.endswith(":memory:"):
        return None
    if is_postgres(store):
        return url or NOWHERE
    return url or f"file:{store.removeprefix('sqlite:///')}-files"


def _absolute(url: str) -> str:
    if not urlsplit(url).scheme:
        raise OptionRefused(
            f"files={url!r} (or OUTLAST_FILES) is no URL; for a folder give {'file:' + url!r}"
        )
    path = folder_of(url)
    return url if path is None else f"file:{os.path.abspath(path)}"


def folder_of(url: str) -> str | None:
    """The path in a `file:` URL; None for any other."""
    return re.sub(r"^file:(//)?", "", url) if url.startswith("file:") else None


def open_files(url: str | None) -> Files:
    """The files at a URL; a new folder where there is none. Nothing is made before something is stored.

    Raises OptionRefused where fsspec, or what it needs for this kind of URL, is not installed.
    """
    if url == NOWHERE:
        from outlast.files.nowhere import Nowhere

        return Nowhere()
    path = None if url is None else folder_of(url)
    if url is None or path is not None:
        from outlast.files.folder import Folder

        return Folder(path)
    from outlast.files.remote import Remote

    return Remote(url)
