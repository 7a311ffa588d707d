"""How far an attempt is, in its own words: what can be said, and loops that say it. Pure."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Sized
from typing import Generic, TypeVar, cast

T = TypeVar("T")
_LONGEST = 500
"""Characters kept of a note."""
_MOST = 2**63 - 1
"""What a store can count."""


def checked(done: int, total: int | None, note: str | None) -> tuple[int, int | None, str | None]:
    """What is said of progress, as it is stored. Raises TypeError, ValueError."""
    for name, value in (("done", done), ("total", total)):
        if value is None and name == "total":
            continue
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError(f"{name}={value!r}: give a whole number; for parts of one, count in percent")
        if not 0 <= value <= _MOST:
            raise ValueError(f"{name}={value!r}: give a number from 0 on")
    return done, total, None if note is None else storable(str(note)[:_LONGEST])


def storable(text: str) -> str:
    """Text in characters that every store takes."""
    return text.replace("\0", "\\0").encode("utf-8", "backslashreplace").decode("utf-8")


class Track(Generic[T]):
    """A loop over items that says after each how many are done."""

    def __init__(
        self,
        items: Iterable[T] | AsyncIterable[T],
        total: int | None,
        note: str | None,
        progress: Callable[[int, int | None, str | None], None],
    ) -> None:
        self._items = items
        self._total = len(items) if total is None and isinstance(items, Sized) else total
        self._note = note
        self._progress = progress

    def __iter__(self) -> Iterator[T]:
        done = 0
        self._say(done)
        for item in cast("Iterable[T]", self._items):
            yield item
            done += 1
            self._say(done)

    async def __aiter__(self) -> AsyncIterator[T]:
        if not isinstance(self._items, AsyncIterable):
            for item in self:
                yield item
            return
        done = 0
        self._say(done)
        async for item in self._items:
            yield item
            done += 1
            self._say(done)

    def _say(self, done: int) -> None:
        self._progress(done, self._total, self._note)
