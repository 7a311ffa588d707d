"""No place for files: a store that many machines share has none beside it until somebody names one."""

from __future__ import annotations

from collections.abc import Iterable
from io import RawIOBase
from typing import NoReturn

from outlast.errors import OptionRefused
from outlast.files import NOWHERE, Content


class Nowhere:
    """Keeps nothing, and says what to name."""

    url = NOWHERE

    def put(self, content: Content, now: int) -> NoReturn:
        raise OptionRefused(
            "a PostgreSQL store has no place for files beside it; name one that every machine reaches: "
            "TaskQueue(app, files='s3://bucket/folder'), a folder that all of them share, or OUTLAST_FILES"
        )

    def open(self, name: str) -> RawIOBase:
        raise FileNotFoundError(f"{name}: this queue has no place for files")

    def names(self) -> Iterable[str]:
        return ()

    def delete(self, name: str) -> None:
        """There is none."""

    def close(self) -> None:
        """Nothing is open."""
