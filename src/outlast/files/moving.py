"""Copies stored files from one place to another, under the names by which their jobs know them."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from contextlib import closing

from outlast.files import CHUNK, Files, stored_at


def copied(names: Collection[str], here: Files, there: Files) -> Iterator[str | None]:
    """Copy what is not there yet: for each name None, or what is wrong with the file. Raises NotConfirmed."""
    known = set(there.names())
    for name in names:
        yield None if name in known else _copied(name, here, there)


def _copied(name: str, here: Files, there: Files) -> str | None:
    try:
        found = there.put(_Stored(here, name), stored_at(name))
    except FileNotFoundError:
        return f"{name} is not in {here.url}"
    return (
        None if found == name else f"{name} in {here.url} is damaged: its content is not what its name says"
    )


class _Stored:
    """What lies in one place, as content for another."""

    def __init__(self, files: Files, name: str) -> None:
        self._files = files
        self._name = name
        with closing(files.open(name)) as file:
            self.size = file.seek(0, os.SEEK_END)

    def chunks(self) -> Iterator[bytes]:
        with closing(self._files.open(self._name)) as file:
            while chunk := file.read(CHUNK):
                yield chunk
