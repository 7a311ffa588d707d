"""Files wherever fsspec reaches: S3 and its kind, other machines, memory. The one place that imports fsspec."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable
from contextlib import suppress
from functools import cached_property
from importlib.util import find_spec
from typing import Any

from outlast.errors import NotConfirmed, OptionRefused, OutlastError
from outlast.files import Content, is_name, name_of

_BLOCK = 1 << 23
"""Bytes that a file system gathers before it sends them; S3 takes none of less than 5 MiB."""


class Remote:
    """A place named by a URL that fsspec knows."""

    def __init__(self, url: str) -> None:
        if find_spec("fsspec") is None:
            raise OptionRefused(f"files={url!r} needs fsspec; install it: pip install 'outlast[files]'")
        self.url = url

    @cached_property
    def _system_and_root(self) -> tuple[Any, str]:
        """Opened when first used: servers may fork before that."""
        from fsspec.core import url_to_fs  # type: ignore[import-untyped]

        try:
            system, root = url_to_fs(self.url)
        except (ImportError, ValueError) as error:
            raise OptionRefused(f"files={self.url!r} cannot be used: {error}") from error
        return system, root.rstrip("/")

    def put(self, content: Content, now: int) -> str:
        """Read twice, so that it goes straight to its own name: to rename is to copy, there."""
        try:
            name = name_of(_digest(content), now)
            if not self._has(name, content.size):
                self._write(name, content)
        except OutlastError:
            raise
        except Exception as error:  # every file system has its own
            raise NotConfirmed(
                f"a file of {content.size:,} bytes could not be stored at {self.url}: {type(error).__name__}: {error}"
            ) from error
        return name

    def _write(self, name: str, content: Content) -> None:
        system, root = self._system_and_root
        system.makedirs(root, exist_ok=True)
        with system.open(f"{root}/{name}", "wb", block_size=_BLOCK) as file:
            for chunk in content.chunks():
                file.write(chunk)

    def _has(self, name: str, size: int) -> bool:
        """Whole: where a file is seen while it is being written, one that was broken off is written again."""
        try:
            return self._size(name) == size
        except FileNotFoundError:
            return False

    def _size(self, name: str) -> int:
        """As it is now: file systems remember what they have listed, and other processes store and delete."""
        system, root = self._system_and_root
        system.invalidate_cache()
        size: int = system.info(f"{root}/{name}")["size"]
        return size

    def open(self, name: str) -> io.RawIOBase:
        system, root = self._system_and_root
        return _Ranges(system, f"{root}/{name}", self._size(name))

    def names(self) -> Iterable[str]:
        system, root = self._system_and_root
        system.invalidate_cache()
        try:
            paths = system.ls(root, detail=False)
        except FileNotFoundError:
            return []
        return [name for name in (path.rpartition("/")[2] for path in paths) if is_name(name)]

    def delete(self, name: str) -> None:
        system, root = self._system_and_root
        with suppress(FileNotFoundError):
            system.rm_file(f"{root}/{name}")

    def close(self) -> None:
        """Its connections are fsspec's."""


def _digest(content: Content) -> str:
    digest = hashlib.sha256()
    for chunk in content.chunks():
        digest.update(chunk)
    return digest.hexdigest()


class _Ranges(io.RawIOBase):
    """A file read piece by piece, each by a request of its own: nothing is kept open, and nobody else's place moves."""

    def __init__(self, system: Any, path: str, size: int) -> None:
        self._system = system
        self._path = path
        self._size = size
        self._place = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = (0, self._place, self._size)[whence]
        self._place = max(0, start + offset)
        return self._place

    def readinto(self, buffer: Any) -> int:
        piece = self._piece(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)

    def readall(self) -> bytes:
        return self._piece(self._size)

    def _piece(self, length: int) -> bytes:
        start, end = self._place, min(self._place + length, self._size)
        if start >= end:
            return b""
        piece: bytes = self._system.cat_file(self._path, start=start, end=end)
        self._place += len(piece)
        return piece
