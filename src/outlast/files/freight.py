"""Freight: what one queue does with content that does not fit a row, on the way there and back.

Where the files lie and when they go is decided here; which jobs use them is asked of the store.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import closing
from functools import cached_property
from io import RawIOBase

from outlast.clock import Clock
from outlast.errors import FileMissing, FileTooLarge
from outlast.files import Files, is_old, open_files
from outlast.files.cargo import Cargo, stowed
from outlast.files.sources import Memory
from outlast.job import NewJob
from outlast.luggage.stand_in import stand_in, stood_for


class Freight:
    """The files of a queue at a URL (None: a folder of this process alone). Nothing is opened before it is used.

    `takes_bulk`: arguments and results over the `payload_limit` are stored as files too.
    """

    def __init__(
        self,
        url: str | None,
        clock: Clock,
        *,
        payload_limit: int,
        file_limit: int | None,
        takes_bulk: bool,
        too_large: type[FileTooLarge] = FileTooLarge,
    ) -> None:
        self.url = url
        self.text_limit = sys.maxsize if takes_bulk else payload_limit
        """Bytes that arguments or a result may take at all."""
        self._clock = clock
        self._payload_limit = payload_limit
        self._file_limit = file_limit
        self._takes_bulk = takes_bulk
        self._too_large = too_large

    @cached_property
    def files(self) -> Files:
        """Where they lie. Raises OptionRefused."""
        return open_files(self.url)

    # ---- there

    def loaded(self, job: NewJob) -> NewJob:
        """A row as it was packed, its cargo within the limits. Raises FileTooLarge."""
        is_bulky = self._takes_bulk and self.is_bulky(job.luggage)
        if job.files is None and not is_bulky:
            return job
        cargo = job.files if isinstance(job.files, Cargo) else Cargo()
        cargo.is_bulky = is_bulky
        for source in cargo:
            self._check(source.content.size, f"{source.filename or 'a file'} for {job.task}")
        if is_bulky:
            self._check(len(job.luggage.encode()), f"what {job.task} would have to carry")
        return job._replace(files=cargo)

    def is_bulky(self, text: str) -> bool:
        """Whether a text is to lie in a file, because it takes more room than a row has."""
        # No character takes more than four bytes.
        return (
            self._takes_bulk
            and len(text) > self._payload_limit // 4
            and len(text.encode()) > self._payload_limit
        )

    def _check(self, size: int, what: str) -> None:
        if self._file_limit is not None and size > self._file_limit:
            raise self._too_large(
                f"{what} has {size:,} bytes, and {self._file_limit:,} are allowed; "
                "send less, or raise TaskQueue(file_limit=…)"
            )

    def stow(self, jobs: Sequence[NewJob]) -> list[NewJob]:
        """Rows with their files stored, on disk when this returns. Blocks. Raises NotConfirmed, LuggageRefused."""
        return stowed(jobs, self.files, self._clock.now())

    def stow_text(self, text: str) -> tuple[str, str]:
        """What stands for a bulky result in its row, and the name of the file. Blocks. Raises NotConfirmed."""
        content = Memory(text.encode())
        self._check(content.size, "the result")
        name = self.files.put(content, self._clock.now())
        return stand_in(name, content.size), name

    # ---- and back

    def text(self, text: str, of: str) -> str:
        """What a row's text stands for: itself, or what lies in a file. Blocks in that case. Raises FileMissing."""
        return text if stood_for(text) is None else read_text(self.files, text, of)

    def open(self, name: str, what: str) -> RawIOBase:
        """A stored file to read from, unbuffered; `what` is what errors call it. Blocks. Raises FileMissing."""
        return _opened(self.files, name, what)

    # ---- in the end

    def sweep(
        self, in_use: Callable[[Collection[str]], set[str]], names: Iterable[str] | None = None
    ) -> list[str]:
        """Delete what no job uses: of these names, or of all that is there. Returns what went. Blocks.

        What was stored not long ago stays, because its job may still be on its way; a later sweep finds it.
        """
        now = self._clock.now()
        old = [name for name in (self.files.names() if names is None else names) if is_old(name, now)]
        unused = sorted(set(old) - in_use(old)) if old else []
        for name in unused:
            self.files.delete(name)
        return unused

    def close(self) -> None:
        """Of files in a folder of this process alone, nothing is left."""
        if "files" in vars(self):
            self.files.close()
            del self.files


def read_text(files: Files, text: str, of: str) -> str:
    """What a text stands for, if it is a stand-in. `of` is what errors call it. Blocks. Raises FileMissing."""
    found = stood_for(text)
    if found is None:
        return text
    with closing(_opened(files, found.name, of)) as file:
        return file.readall().decode()


def _opened(files: Files, name: str, what: str) -> RawIOBase:
    try:
        return files.open(name)
    except FileNotFoundError:
        raise FileMissing(
            f"{what} is not there: {files.url} has no {name}. It was deleted, or stored in another place: put it back, "
            "or make TaskQueue(files=…), or OUTLAST_FILES, the same for all processes; then retry the job"
        ) from None
