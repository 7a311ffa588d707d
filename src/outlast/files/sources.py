"""Where the content of an argument comes from, taken when a job is added and read when its request is committed.

Nothing is copied that is not in memory already: of a file on disk a second descriptor is kept, and read from its start
without moving anybody's position. So it does not matter what was read before, or who closes it after.
"""

from __future__ import annotations

import io
import os
import secrets
import stat
import tempfile
from collections.abc import Iterator
from typing import Any

from outlast.errors import LuggageRefused
from outlast.files import CHUNK
from outlast.luggage.refusal import Refusal

_BUFFERED = (io.BufferedReader, io.BufferedRandom, io.BufferedWriter)
_AS_BYTES = "pass its content as bytes to a parameter annotated UploadFile, or save it and pass its path"


class Memory:
    """Bytes that are here already."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.size = len(content)

    @property
    def key(self) -> Any:
        """What is equal for equal content, as far as that is known without reading it."""
        return self.content

    def chunks(self) -> Iterator[bytes]:
        for start in range(0, self.size, CHUNK):
            yield self.content[start : start + CHUNK]

    def close(self) -> None:
        pass


class Descriptor:
    """A file on disk, by a descriptor of our own; closed with this, also if nobody ever asks."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = os.dup(descriptor)
        self.key = self._state()
        self.size = self.key[2]

    def _state(self) -> tuple[int, int, int, int]:
        found = os.fstat(self._descriptor)
        return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns

    def chunks(self) -> Iterator[bytes]:
        """Raises LuggageRefused if the file was written to since it was added: it would arrive changed."""
        place = 0
        while chunk := os.pread(self._descriptor, min(CHUNK, self.size - place), place):
            place += len(chunk)
            yield chunk
        if self._state() != self.key:
            raise LuggageRefused(
                "a file was written to after the job that carries it was added; write it first, then add the job"
            )

    def close(self) -> None:
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            os.close(descriptor)

    def __del__(self) -> None:
        if hasattr(self, "_descriptor"):
            self.close()


class Source:
    """The content of one argument. `token` stands for its name, which is known once it is stored."""

    def __init__(self, value: object) -> None:
        self.value = value
        """What it was taken from; kept, so that nothing else can get its identity meanwhile."""
        self.token = secrets.token_hex(16)
        self.filename: str | None = None
        self.headers: list[list[str]] = []
        self.content = self._taken(value)

    def _taken(self, value: Any) -> Memory | Descriptor:
        if isinstance(value, bytes):
            return Memory(value)
        if hasattr(value, "headers"):  # an UploadFile
            self.filename = value.filename
            self.headers = [
                [key.decode("latin-1"), text.decode("latin-1")] for key, text in value.headers.raw
            ]
            return _content(value.file)
        name = getattr(value, "name", None)
        self.filename = os.path.basename(name) if isinstance(name, str) else None
        return _content(value)


def _content(file: Any) -> Memory | Descriptor:
    """What is in a binary file. Raises Refusal for what is none, or cannot be read again from its start."""
    if getattr(file, "closed", False):
        raise Refusal("it is a file that is closed", "add the job before it is closed", final=True)
    if isinstance(file, tempfile.SpooledTemporaryFile):
        return _content(file._file)
    if isinstance(file, tempfile._TemporaryFileWrapper):
        return _content(file.file)
    if isinstance(file, io.BytesIO):
        return Memory(file.getvalue())
    if isinstance(file, io.TextIOBase):
        raise Refusal("it is a text file, whose bytes are not its own", 'open it with "rb"', final=True)
    return _of_descriptor(file)


def _of_descriptor(file: Any) -> Descriptor:
    """Only of what passes the bytes on as they lie on disk: that of a gzip file, for one, has others."""
    raw = file.raw if type(file) in _BUFFERED else file
    if type(raw) is not io.FileIO:
        raise Refusal(
            f"it is a file of a kind that cannot be read beside its owner ({_kind(file)})",
            _AS_BYTES,
            final=True,
        )
    if not raw.readable():
        raise Refusal(
            "it is a file that was opened for writing only", 'open it with "rb" or "w+b"', final=True
        )
    if not stat.S_ISREG(os.fstat(raw.fileno()).st_mode):
        raise Refusal("it is a pipe or device, which can be read once", _AS_BYTES, final=True)
    if file.writable():
        file.flush()
    return Descriptor(raw.fileno())


def _kind(file: object) -> str:
    return f"{type(file).__module__}.{type(file).__qualname__}"
