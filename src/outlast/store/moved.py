"""What a store that was moved says to whoever opens it, or writes in it. How one is moved is `outlast.store.moving`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from shlex import quote

from outlast.clock import to_instant
from outlast.errors import StoreUnusable

MOVED_TO = "moved_to"
"""The fact that the jobs of this store belong to another one now."""
MOVED_FROM = "moved_from"
"""The fact that jobs came here from another store, or are on their way."""
SQLSTATE = "OL001"
"""By which PostgreSQL says that jobs have moved; the detail is the fact."""


@dataclass(frozen=True, slots=True)
class Mark:
    """One move, as the two stores know it."""

    move: str
    """Its id."""
    store: str
    """The URL of the other store."""
    at: int
    """When it began (µs)."""
    is_done: bool = False
    """Whether all jobs have arrived; the old store does not know."""

    @classmethod
    def read(cls, value: str | None) -> Mark | None:
        return None if value is None else cls(**json.loads(value))

    def written(self) -> str:
        return json.dumps(asdict(self))


def require_at_home(url: str, facts: Mapping[str, str]) -> None:
    """Raises StoreUnusable where the jobs of a store have moved away, or have not all arrived."""
    if MOVED_TO in facts:
        raise moved_away(url, facts[MOVED_TO])
    mark = Mark.read(facts.get(MOVED_FROM))
    if mark is not None and not mark.is_done:
        raise StoreUnusable(
            f"the jobs of {mark.store} are being moved to {url}, and not all of them are here; go on until they are: "
            f"outlast move {quote(mark.store)} {quote(url)}"
        )


def moved_away(url: str, value: str) -> StoreUnusable:
    """What the fact says."""
    mark = Mark.read(value)
    assert mark is not None
    return StoreUnusable(
        f"the jobs of {url} were moved to {mark.store} on {to_instant(mark.at):%Y-%m-%d}, and nothing more is accepted "
        f"here; name that store instead: OUTLAST_STORE={quote(mark.store)}. To work here again after all: "
        f"outlast move {quote(url)} --undo"
    )
