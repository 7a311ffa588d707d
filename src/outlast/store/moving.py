"""Moves the jobs of a store to another: each as it is, with its attempts and its log; what queues are paused, and the
statistics.

1. `begin` states in both stores that the jobs are on their way. From then on nobody writes jobs in the old store,
   whoever had it open before, and nobody opens either.
2. `carry` copies, the newest jobs first, so that what is there tells where to go on after an interruption, and what
   somebody else should write there meanwhile has a place above all of them.
3. `finish` compares what the two hold, and lets the new store be opened. The old one stays as it is, and shut, until
   `take_back`.

Whoever calls this sees to it that nobody works on either store, and that no job is running or held.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from shlex import quote
from typing import Any

from outlast.errors import StoreError, StoreUnusable
from outlast.job import new_id
from outlast.store import open_store
from outlast.store.moved import MOVED_FROM, MOVED_TO, Mark
from outlast.store.sql_store import SQLStore

_PIECE = 1000
"""Jobs copied in one commit: their arguments may take a megabyte each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What a store holds."""

    states: dict[str, int]
    """How many jobs are in each state."""
    attempts: int
    paused: tuple[str, ...]
    """The queues that are."""

    @property
    def jobs(self) -> int:
        return sum(self.states.values())

    def holds(self, other: Contents) -> bool:
        """Whether it is all of the other; more queues may be paused."""
        return (self.states, self.attempts) == (other.states, other.attempts) and {*other.paused} <= {
            *self.paused
        }


def open_to_move(url: str, *, create: bool = False, read_only: bool = False) -> SQLStore:
    """A store, also one that only a move may open now. Raises StoreUnusable, NotConfirmed."""
    store = open_store(url, create=create, read_only=read_only, even_moved=True)
    assert isinstance(store, SQLStore)
    return store


class Move:
    """From one store to another. Every method may raise StoreError."""

    def __init__(self, source: SQLStore, target: SQLStore) -> None:
        self._source = source
        self._target = target
        self._top: int = source.one("top_place")

    def contents(self) -> Contents:
        """What is to be moved."""
        return _contents(self._source, self._top)

    def is_done(self) -> bool:
        """Whether it is over already. Raises StoreUnusable where this move must not begin, or go on."""
        gone, come = _mark(self._source, MOVED_TO), _mark(self._target, MOVED_FROM)
        away = _mark(self._target, MOVED_TO)
        if gone is not None and come is not None and gone.move == come.move:
            return come.is_done
        if gone is not None and gone.store != self._target.url:
            raise StoreUnusable(
                f"the jobs of {self._source.url} were moved to {gone.store} already, or are on their way; "
                f"move them from there, or take that back: outlast move {quote(self._source.url)} --undo"
            )
        if away is not None or self._target.one("lowest_place", top=_ANY) is not None:
            raise StoreUnusable(f"{self._target.url} holds jobs already; {_EMPTY}")
        return False

    def begin(self) -> None:
        """State it in both stores, in the new one first: until the other knows, it can be worked on.

        Raises StoreUnusable where somebody works on it.
        """
        now = self._source.clock.now()
        gone = _mark(self._source, MOVED_TO)
        mark = gone or Mark(new_id(), self._target.url, now)
        with self._target.transaction(flush=True):
            _state(self._target, MOVED_FROM, Mark(mark.move, self._source.url, now))
            for name, paused_at in self._source.rows("paused_queues"):
                self._target.run("pause", name=name, now=paused_at)
        if gone is None:
            with self._source.transaction(flush=True):
                _state(self._source, MOVED_TO, mark)
                self._source.shut()
                self._require_rest()
        self._top = self._source.one("top_place")  # somebody may have added jobs until it was shut
        self._target.keep_places(self._top)

    def _require_rest(self) -> None:
        """Whoever rescues goes by the workers that a store knows, and the new one knows none of these."""
        if self._source.one("is_any_running"):
            raise StoreUnusable(
                f"somebody has begun to work on {self._source.url}; stop all servers and workers, then move"
            )

    def carry(self, piece: int = _PIECE) -> Iterator[int]:
        """Copy what is not there yet; how many jobs are, after each commit."""
        below = self._target.one("lowest_place", top=self._top) or self._top + 1
        there = _contents(self._target, self._top).jobs
        yield there
        while jobs := self._source.named_rows("jobs_below", below=below, limit=piece):
            last, below = below, jobs[-1]["seq"]
            with self._target.transaction(flush=True):
                self._target.load("jobs", jobs[::-1])  # upwards: else a file takes twice the room
                for table in ("attempts", "progress", "log_lines"):
                    rows = self._source.named_rows(f"{table}_between", low=below, high=last)
                    self._target.load(table, rows)
            there += len(jobs)
            yield there

    def finish(self) -> Contents:
        """Let the new store be opened, if it holds what the old one holds. Raises StoreError where it does not."""
        old, new = _contents(self._source, self._top), _contents(self._target, self._top)
        if not new.holds(old):
            raise StoreError(
                f"{self._target.url} does not hold what {self._source.url} does: {new} instead of {old}; somebody has "
                f"changed one of them meanwhile. {_EMPTY}, or take it back: "
                f"outlast move {quote(self._source.url)} --undo"
            )
        mark = _mark(self._source, MOVED_TO)
        assert mark is not None
        with self._target.transaction(flush=True):
            for table in ("statistics", "depths"):
                self._target.load(table, self._source.named_rows(f"all_{table}"))
            _state(self._target, MOVED_FROM, Mark(mark.move, self._source.url, mark.at, is_done=True))
        return new


def take_back(source: SQLStore) -> str | None:
    """Let a store be worked on again that was moved away; where to it was. None if it was not."""
    mark = _mark(source, MOVED_TO)
    if mark is None:
        return None
    with source.transaction(flush=True):
        source.open_up()
        source.run("drop_fact", name=MOVED_TO)
    return mark.store


_ANY = (1 << 63) - 1
_EMPTY = (
    "move to a store that is empty: another file, or another schema of the database (…?schema=NAME), made by "
    "`outlast migrate`"
)


def _state(store: SQLStore, name: str, mark: Mark) -> None:
    store.run("state_fact", name=name, value=mark.written())


def _mark(store: SQLStore, name: str) -> Mark | None:
    return Mark.read(store.facts().get(name))


def _contents(store: SQLStore, top: int) -> Contents:
    states: list[tuple[Any, ...]] = store.rows("count_states", top=top)
    return Contents(
        states={str(state): count for state, count in sorted(states)},
        attempts=store.one("count_attempts"),
        paused=tuple(name for name, _ in sorted(store.rows("paused_queues"))),
    )
