"""Files in a folder of this machine: written under another name, flushed, renamed, so that no half of one is seen."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import tempfile
import threading
from collections.abc import Iterable
from contextlib import suppress
from io import RawIOBase
from pathlib import Path

from outlast.errors import NotConfirmed
from outlast.files import Content, is_name, name_of, part_name


class Folder:
    """A folder, made when the first file is stored; without a path, one in the system's own that is gone in the end."""

    def __init__(self, path: str | None) -> None:
        self.url = "a folder of this process" if path is None else f"file:{path}"
        self._path = None if path is None else Path(path)
        self._is_passing = path is None
        self._making = threading.Lock()

    def put(self, content: Content, now: int) -> str:
        try:
            folder = self._made()
            part = folder / part_name(secrets.token_hex(16), now)
            try:
                name = name_of(_written(part, content), now)
                os.replace(part, folder / name)
            except BaseException:
                part.unlink(missing_ok=True)
                raise
            _flush_folder(folder)
        except OSError as error:
            raise NotConfirmed(
                f"a file of {content.size:,} bytes could not be stored in {self._path} ({error.strerror}); "
                "free some space there, or name another place by TaskQueue(files=…)"
            ) from error
        return name

    def open(self, name: str) -> RawIOBase:
        if self._path is None:
            raise FileNotFoundError(name)
        return (self._path / name).open("rb", buffering=0)

    def names(self) -> Iterable[str]:
        if self._path is None or not self._path.is_dir():
            return []
        return [entry.name for entry in os.scandir(self._path) if is_name(entry.name)]

    def delete(self, name: str) -> None:
        if self._path is not None:
            (self._path / name).unlink(missing_ok=True)

    def close(self) -> None:
        if self._is_passing and self._path is not None:
            shutil.rmtree(self._path, ignore_errors=True)
            self._path = None

    def _made(self) -> Path:
        with self._making:
            if self._path is None:
                self._path = Path(tempfile.mkdtemp(prefix="outlast-files-"))
            elif not self._path.is_dir():
                self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
                _flush_folder(self._path.parent)
            return self._path


def _written(path: Path, content: Content) -> str:
    """Write and flush a new file; the hash of what is in it."""
    digest = hashlib.sha256()
    with open(
        os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb", buffering=0
    ) as file:
        for chunk in content.chunks():
            digest.update(chunk)
            _write_all(file.fileno(), chunk)
        os.fsync(file.fileno())
    return digest.hexdigest()


def _write_all(descriptor: int, chunk: bytes) -> None:
    view = memoryview(chunk)
    while view:
        view = view[os.write(descriptor, view) :]


def _flush_folder(folder: Path) -> None:
    """A new name is on disk once its folder is."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with suppress(OSError):  # some file systems cannot, and need not
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
