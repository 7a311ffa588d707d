"""Cargo: what a job carries that does not fit its row, from `add_task` until it is stored and the row names it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from outlast.files import Files
from outlast.files.sources import Memory, Source
from outlast.job import NewJob
from outlast.luggage.parcel import FileRef
from outlast.luggage.stand_in import stand_in


class Cargo(list[Source]):
    """The sources of one job's files, in place of the names that its row will have."""

    is_bulky = False
    """Whether the arguments themselves take more room than a row has."""

    def stow(self, value: object) -> FileRef:
        """What is written in place of a file. Raises Refusal."""
        source = next((each for each in self if each.value is value), None)
        if source is None:
            source = Source(value)
            self.append(source)
        return FileRef(source.token, source.filename, source.headers, source.content.size)

    def close(self) -> None:
        for source in self:
            source.content.close()


def carries(jobs: Sequence[NewJob]) -> bool:
    """Whether any of these rows has files that are not stored yet."""
    for job in jobs:  # noqa: SIM110 (half the time of any(), for each commit)
        if job.files is not None and type(job.files) is Cargo:
            return True
    return False


def stowed(jobs: Sequence[NewJob], files: Files, now: int) -> list[NewJob]:
    """The same rows once their files are stored, each content once. Blocks. Raises NotConfirmed, LuggageRefused."""
    known: dict[Any, str] = {}
    try:
        return [_stowed(job, files, now, known) if isinstance(job.files, Cargo) else job for job in jobs]
    finally:
        for job in jobs:
            if isinstance(job.files, Cargo):
                job.files.close()


def _stowed(job: NewJob, files: Files, now: int, known: dict[Any, str]) -> NewJob:
    text, cargo = job.luggage, job.files
    assert isinstance(cargo, Cargo)
    names = []
    for source in cargo:
        name = known.get(source.content.key) or files.put(source.content, now)
        known[source.content.key] = name
        text = text.replace(source.token, name)
        names.append(name)
    if cargo.is_bulky:
        content = Memory(text.encode())
        names.append(files.put(content, now))
        text = stand_in(names[-1], content.size)
    return job._replace(luggage=text, files=json.dumps(list(dict.fromkeys(names))))
