"""Calls with arguments that lie in stored files: fetched by the attempt itself, and closed when it is over.

A file arrives as an UploadFile that is opened when it is first read. Arguments that did not fit their row are read
before the call, by a thread.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable
from contextlib import closing
from typing import Any

from outlast.files.freight import Freight
from outlast.job import Claimed
from outlast.luggage import Signature
from outlast.luggage.binding import Call
from outlast.luggage.parcel import FileRef, has_files
from outlast.luggage.stand_in import stood_for

_BUFFER = 1 << 22
"""Bytes read at once: where files are fetched over a network, each read is a request."""


class CannotBegin(Exception):
    """The arguments cannot be put together: `why`. The task's code has not been entered."""

    def __init__(self, why: BaseException) -> None:
        super().__init__(why)
        self.why = why


def are_in(luggage: str) -> bool:
    """Whether stored files belong to these arguments."""
    return has_files(luggage) or stood_for(luggage) is not None


def plain_call(
    func: Callable[..., Any], signature: Signature, job: Claimed, freight: Freight
) -> Callable[[], Any]:
    """The call of a `def` task as a function of its dependencies alone."""

    def call(**solved: Any) -> Any:
        text = _fetched(job, freight)
        with closing(Arrivals(freight, job)) as arrivals:
            args, kwargs = _unpacked(signature, text, arrivals)
            return func(*args, **kwargs, **solved)

    return call


def awaited_call(
    func: Callable[..., Any], signature: Signature, job: Claimed, freight: Freight
) -> Callable[[], Any]:
    """The call of an `async def` task as one of its dependencies alone."""

    async def call(**solved: Any) -> Any:
        text = (
            job.luggage if stood_for(job.luggage) is None else await asyncio.to_thread(_fetched, job, freight)
        )
        with closing(Arrivals(freight, job)) as arrivals:
            args, kwargs = _unpacked(signature, text, arrivals)
            return await func(*args, **kwargs, **solved)

    return call


def _fetched(job: Claimed, freight: Freight) -> str:
    return freight.text(job.luggage, f"what job {job.id} ({job.task}) carries")


def _unpacked(signature: Signature, text: str, arrivals: Arrivals) -> Call:
    try:
        return signature.unpack(text, arrivals.open)
    except BaseException as error:  # the user's classes may raise anything
        raise CannotBegin(error) from None


class Arrivals:
    """Makes what arrives in place of a file, and closes all of it."""

    def __init__(self, freight: Freight, job: Claimed) -> None:
        self._freight = freight
        self._job = job
        self._opened: list[io.BufferedReader[Any]] = []

    def open(self, ref: FileRef) -> Any:
        """The UploadFile of a stored file. Nothing is read yet."""
        name = "a file" if ref.filename is None else f"the file {ref.filename!r}"
        file = io.BufferedReader(Stored(self._freight, ref.name, f"{name} of job {self._job.id}"), _BUFFER)
        self._opened.append(file)
        return _upload(file, ref)

    def close(self) -> None:
        for file in self._opened:
            file.close()


def unread(ref: FileRef) -> Any:
    """What would arrive in place of a file, with nothing in it: for those who ask whether a call fits."""
    return _upload(io.BytesIO(), ref)


def _upload(file: Any, ref: FileRef) -> Any:
    from fastapi import UploadFile
    from starlette.datastructures import Headers

    headers = Headers(raw=[(key.encode("latin-1"), text.encode("latin-1")) for key, text in ref.headers])
    return UploadFile(file, size=ref.size, filename=ref.filename, headers=headers)


class Stored(io.RawIOBase):
    """A stored file that is opened when it is first touched, by the task that reads it."""

    def __init__(self, freight: Freight, name: str, what: str) -> None:
        self._freight = freight
        self._name = name
        self._what = what
        self._found: io.RawIOBase | None = None

    def _file(self) -> io.RawIOBase:
        """Raises FileMissing."""
        if self._found is None:
            self._found = self._freight.open(self._name, self._what)
        return self._found

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return 0 if self._found is None else self._found.tell()

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._file().seek(offset, whence)

    def readinto(self, buffer: Any) -> int | None:
        return self._file().readinto(buffer)

    def readall(self) -> bytes:
        return self._file().readall()

    def fileno(self) -> int:
        return self._file().fileno()

    def close(self) -> None:
        if self._found is not None:
            self._found.close()
        super().close()
