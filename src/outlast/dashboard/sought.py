"""Which jobs a list is of: the words of an address, the filter that they stand for, and addresses like them. Pure."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any
from urllib.parse import urlencode

from outlast.job import State
from outlast.store import QUEUED_VIEWS, JobFilter

ADDED = {
    "15m": ("last 15 minutes", timedelta(minutes=15)),
    "1h": ("last hour", timedelta(hours=1)),
    "24h": ("last 24 hours", timedelta(hours=24)),
    "7d": ("last 7 days", timedelta(days=7)),
}
"""When jobs were added, in the words of the address and of the page."""
RETRY, CANCEL, DELETE = "retry", "cancel", "delete"
STATES_FOR = {
    RETRY: (State.FAILED, State.CANCELLED),
    CANCEL: (State.QUEUED, State.RUNNING),
    DELETE: (State.SUCCEEDED, State.FAILED, State.CANCELLED),
}
"""In which states something can be done with a job."""


@dataclass(frozen=True, slots=True)
class Sought:
    """What somebody looks for; an empty word asks for nothing."""

    state: str = ""
    """A state, or a view of queued jobs."""
    queue: str = ""
    task: str = ""
    text: str = ""
    error: str = ""
    added: str = ""
    since: str = ""
    """As a browser writes a local time: 2026-01-31T12:00."""
    until: str = ""
    id: str = ""

    @classmethod
    def of(cls, words: Any) -> Sought:
        """From the query of an address."""
        given = {each.name: words.get(each.name, "")[:1000].strip() for each in fields(cls)}
        known = given["state"] in (*State, *QUEUED_VIEWS)
        return cls(**{**given, "state": given["state"] if known else "", "id": given["id"].strip("….")})

    def filter(self, now: datetime, zone: tzinfo = UTC) -> JobFilter:
        """What the store is asked for."""
        since = _instant(self.since, zone)
        if self.added in ADDED:
            since = now - ADDED[self.added][1]
        is_view = self.state in QUEUED_VIEWS
        return JobFilter(
            state=State(self.state) if self.state and not is_view else None,
            view=self.state if is_view else None,
            queue=self.queue or None,
            task=self.task or None,
            text=self.text or None,
            error=self.error or None,
            since=since,
            until=_instant(self.until, zone),
            ids=(self.id,) if self.id else None,
        )

    def states_for(self, action: str) -> tuple[State, ...]:
        """The states that an action goes through."""
        wanted = State.QUEUED if self.state in QUEUED_VIEWS else self.state
        return tuple(state for state in STATES_FOR[action] if not wanted or state == wanted)

    def query(self, **changes: str) -> str:
        """The words of an address, with some changed; ready to stand behind a `?`."""
        changed = replace(self, **{name: value for name, value in changes.items() if name in _NAMES})
        words = {name: getattr(changed, name) for name in _NAMES}
        others = {name: value for name, value in changes.items() if name not in _NAMES}
        return urlencode({name: value for name, value in {**words, **others}.items() if value})

    @property
    def is_narrow(self) -> bool:
        """Whether it asks for more than a state."""
        return self != Sought(state=self.state)


_NAMES = tuple(each.name for each in fields(Sought))


def _instant(text: str, zone: tzinfo) -> datetime | None:
    """A time on the reader's clock; one that says its own zone is taken by its word."""
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        return None
    return instant if instant.tzinfo else instant.replace(tzinfo=zone)
