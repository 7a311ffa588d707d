"""How every SQL database finds jobs for people, at a cost that has a bound: `SQLStore` builds on it.

Jobs of a state that few are in are found by its index. For everything else, windows of the newest rows are looked
through, so many and no more: neither a task's name nor a text has an index, which every insert would have to pay for.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, ClassVar, Protocol

from outlast.clock import Clock, span, to_instant, to_micros
from outlast.errors import JobNotFound
from outlast.job import JobRecord, State
from outlast.statistics import HOUR, MINUTE, Statistics, statistics_of
from outlast.store import ALL, MOST_COUNTED, Chain, FailureGroup, Failures, Found, JobFilter, Tally
from outlast.store.rows import job_record

_WINDOW = 10_000
_WINDOWS = 5
"""Places looked through by one search, at most: so many times so many."""
_SHOWN = 4000
"""Characters of a job's arguments that a search brings."""
_GROUPS = 200
"""Groups of failures told of."""
_FEW = MOST_COUNTED
"""Jobs of a state that are looked through by its index."""
_DISORDER = 1000
"""Places by which jobs may lie apart from the order they were added in."""
_TOP = 2**62
_MINUTE = timedelta(minutes=1)
_VIEWS = (
    *("scheduled", "retrying", "waiting", "held", "published", "ready"),
    *("running", "succeeded", "failed", "cancelled"),
)

Named = Mapping[str, Any]
Row = tuple[Any, ...]


class Cursor(Protocol):
    """What a statement answers."""

    @property
    def rowcount(self) -> int: ...

    def fetchall(self) -> list[Row]: ...


class Connection(Protocol):
    """One connection to one database, owned by one thread."""

    def execute(self, sql: str, parameters: Named, /) -> Cursor: ...

    def read(self, sql: str, parameters: Named = ..., /) -> list[Row]: ...

    def read_named(self, sql: str, parameters: Named, /) -> list[dict[str, Any]]: ...

    def stream(self, sql: str) -> Iterator[Row]: ...

    def load(self, table: str, rows: Sequence[Named], /) -> None: ...

    def transaction(self, *, flush: bool) -> AbstractContextManager[None]: ...

    def own_transaction(self, *, flush: bool = False) -> AbstractContextManager[None]: ...

    def moment(self) -> AbstractContextManager[None]: ...

    def flush(self) -> None: ...

    def close(self) -> None: ...


class SQLSearch(ABC):
    """Reads the jobs of a database that speaks SQL."""

    SQL: ClassVar[Mapping[str, str]]
    """The statements of this dialect, by name."""
    IN_STATE: ClassVar[Mapping[State, str]]
    """The condition that finds the jobs in a state, to change them."""
    AMONG: ClassVar[Mapping[State, str]]
    """The same to read the few that there are, by an index where there is one."""
    ID_IS_ONE_OF: ClassVar[str]
    """The condition on `id` that takes a list `:ids`."""
    HAS_TEXT: ClassVar[str]
    """The condition that the arguments have `:text` in them."""
    ERROR_IS_OF: ClassVar[str]
    """The condition that the last error is of the kind `:error`."""

    def __init__(self, connection: Connection, url: str, clock: Clock, dice: Callable[[], float]) -> None:
        self._connection = connection
        self.url = url
        self.clock = clock
        self._dice = dice

    @abstractmethod
    def _list(self, values: Collection[Any] | None) -> Any:
        """Values as one parameter of a statement."""

    # ---- one, or some

    def get(self, job_id: str) -> JobRecord:
        records = self.find(JobFilter(ids=(job_id,)), limit=1)
        if not records:
            raise JobNotFound(
                f"there is no job {job_id} in {self.url}: it was never committed, or it ended and was pruned; "
                "`outlast jobs list` shows what is there"
            )
        return records[0]

    def find(self, which: JobFilter = ALL, *, limit: int = 50, before: str | None = None) -> list[JobRecord]:
        return self._find(self._conditions(which, _state_of(which)), limit, before)

    def _find(
        self, wanted: tuple[str, dict[str, Any]], limit: int, before: str | None, statement: str | None = None
    ) -> list[JobRecord]:
        conditions, parameters = wanted
        if before is not None:
            conditions += f" AND seq < ({self.SQL['place_of']})"
        now = self.clock.now()
        sql = (statement or self.SQL["find"]).replace("{which}", conditions)
        rows = self._connection.read_named(sql, parameters | {"before": before, "limit": limit})
        return [job_record(row, now) for row in rows]

    def search(self, which: JobFilter, *, limit: int = 50, before: str | None = None) -> Found:
        state = _state_of(which)
        if which.ids is not None or (state is not None and self._are_few(state)):
            jobs = self._find(self._conditions(which, state, is_read=True), limit + 1, before, self._brief)
            return Found(jobs[:limit], jobs[limit - 1].id if len(jobs) > limit else None)
        return self._search_newest(which, limit, self._beginning(which, before))

    def tally(self, which: JobFilter = ALL) -> Tally:
        anything = replace(which, state=None, view=None)
        if anything == ALL:
            return self._tally_all()
        return self._tally_among(anything, self._newest(None) - _WINDOW * _WINDOWS)

    def failures(self) -> Failures:
        few = self._are_few(State.FAILED)
        which = self.AMONG[State.FAILED] if few else _NEWEST_FAILED
        rows = self._connection.read(
            self.SQL["failures"].replace("{which}", which),
            {"limit": _GROUPS, "most": _WINDOW * _WINDOWS},
        )
        return Failures([_failure_group(row) for row in rows], is_cut=not few)

    def slowest(self, *, task: str | None = None, limit: int = 10) -> list[JobRecord]:
        rows = self._connection.read(self.SQL["slowest"], {"task": task, "limit": limit, "most": _WINDOW})
        places = [job_id for (job_id,) in rows]
        found = {job.id: job for job in self.find(JobFilter(ids=tuple(places)), limit=limit)}
        return [found[job_id] for job_id in places if job_id in found]

    def chain(self, job_id: str) -> Chain:
        with self._connection.moment():
            self.get(job_id)
            [place] = self._connection.read_named(self.SQL["place"], {"id": job_id})
            before = self._one(self.SQL["close_before"], {"id": job_id, "seq": place["seq"]})
            behind = self._one(self.SQL["behind"], {"id": job_id})
            found = {job.id: job for job in self.find(JobFilter(ids=(before or "", behind or "")))}
            return Chain(found.get(before), found.get(behind))

    # ---- numbers

    def summed(
        self, since: datetime, *, step: timedelta = _MINUTE, task: str | None = None
    ) -> list[Statistics]:
        window = _window(since, step) | {"task": task}
        return [
            statistics_of(to_instant(start), task or "", "", [*map(int, numbers)])
            for start, *numbers in self._connection.read(self.SQL["statistics_summed"], window)
        ]

    def summed_by_task(self, since: datetime, *, step: timedelta = _MINUTE) -> list[Statistics]:
        window = _window(since, step)
        return [
            statistics_of(to_instant(window["since"]), task, queue, [*map(int, numbers)])
            for task, queue, *numbers in self._connection.read(self.SQL["statistics_by_task"], window)
        ]

    def successes(self, since: datetime, *, step: timedelta = _MINUTE) -> dict[str, dict[datetime, int]]:
        found: dict[str, dict[datetime, int]] = {}
        for start, task, count in self._connection.read(self.SQL["successes"], _window(since, step)):
            found.setdefault(task, {})[to_instant(start)] = int(count)
        return found

    # ---- searching, in steps

    @property
    def _brief(self) -> str:
        """`find` for lists: where arguments take a megabyte each, hundreds are not fetched to show how they begin."""
        return self.SQL["find"].replace(" luggage,", f" substr(luggage, 1, {_SHOWN}) AS luggage,")

    def _are_few(self, state: State) -> bool:
        """Whether all jobs of a state can be had by its index. Those that succeeded have none."""
        if state is State.SUCCEEDED:
            return False
        return len(self._connection.read(self.SQL[f"some_{state}"], {"limit": _FEW + 1})) <= _FEW

    def _beginning(self, which: JobFilter, before: str | None) -> int | None:
        """The place below which to look: below that id, and no later than the filter's time. None: at the newest."""
        place = None if before is None else self._one(self.SQL["place_of"], {"before": before}) or 0
        if which.until is None:
            return place
        until = self._place_at(to_micros(which.until))
        return until if place is None else min(place, until)

    def _place_at(self, instant: int) -> int:
        """Above all jobs added before then, near enough: rows lie in the order they were committed in."""
        low, high = 0, self._newest(None) + 1
        while low < high:
            middle = (low + high) // 2
            found = self._connection.read(self.SQL["added_at"], {"place": middle})
            if found and found[0][1] >= instant:
                high = found[0][0]
            else:
                low = middle + 1
        return low + _DISORDER

    def _newest(self, start: int | None) -> int:
        """The highest place, below one if given; 0 where there is none."""
        sql = self.SQL["newest_place"]
        return self._one(sql, {"start": _TOP if start is None else start}) or 0

    def _search_newest(self, which: JobFilter, limit: int, start: int | None) -> Found:
        """Through windows of places. What no longer has rows is leapt over."""
        jobs: list[JobRecord] = []
        conditions, parameters = self._conditions(which, _state_of(which), is_window=True)
        sql = self._brief.replace("{which}", f"seq <= :top AND seq >= :floor AND {conditions}")
        now = self.clock.now()
        top = floor = self._newest(start)
        for _ in range(_WINDOWS):
            floor = max(0, top - _WINDOW)
            window = {"top": top, "floor": floor, "limit": limit + 1 - len(jobs), "now": now}
            jobs += [job_record(row, now) for row in self._connection.read_named(sql, parameters | window)]
            if len(jobs) > limit:
                return Found(jobs[:limit], jobs[limit - 1].id)
            if self._is_too_old(which, floor):
                return Found(jobs, None)
            top = self._newest(floor)
            if not top:
                return Found(jobs, None)
        return Found(jobs, self._one(self.SQL["place_looked_to"], {"floor": floor}), is_cut=True)

    def _is_too_old(self, which: JobFilter, floor: int) -> bool:
        """Whether all that lie below were added before the filter's time."""
        if which.since is None:
            return False
        found = self._connection.read(self.SQL["added_at"], {"place": floor - _DISORDER})
        return not found or found[0][1] < to_micros(which.since)

    def _tally_all(self) -> Tally:
        parameters = {"most": MOST_COUNTED, "now": self.clock.now()}
        (row,) = self._connection.read(self.SQL["tally"], parameters)
        ready, due, held, waiting, scheduled, retrying, running, failed, cancelled, ended, published = row
        counts = {
            "scheduled": scheduled,
            "retrying": retrying,
            "waiting": waiting,
            "held": held,
            "published": published,
            "ready": min(MOST_COUNTED, ready + due - published),
            "running": running,
            "succeeded": min(MOST_COUNTED, ended - failed - cancelled),
            "failed": failed,
            "cancelled": cancelled,
        }
        return Tally(counts, frozenset(view for view, count in counts.items() if count >= MOST_COUNTED))

    def _tally_among(self, which: JobFilter, floor: int) -> Tally:
        conditions, parameters = self._conditions(which, None)
        if which.ids is None:
            conditions = f"seq >= :floor AND {conditions}"
        sql = self.SQL["tally_among"].replace("{which}", conditions)
        now = self.clock.now()
        found = self._connection.read(sql, parameters | {"floor": floor, "now": now})
        counts = dict.fromkeys(_VIEWS, 0) | dict(found)
        is_all = which.ids is not None or self._newest(floor) == 0 or self._is_too_old(which, floor)
        return Tally(counts, frozenset() if is_all else frozenset(counts))

    # ---- small reads

    def _one(self, sql: str, parameters: Named = {}) -> Any:  # noqa: B006
        rows = self._connection.read(sql, parameters)
        return rows[0][0] if rows else None

    # ---- conditions

    def _conditions(
        self, which: JobFilter, state: State | None, *, is_window: bool = False, is_read: bool = False
    ) -> tuple[str, dict[str, Any]]:
        return self.conditions(which, state, is_window=is_window, is_read=is_read), {
            "queue": which.queue,
            "task": which.task,
            "ids": self._list(which.ids),
            "since": None if which.since is None else to_micros(which.since),
            "until": None if which.until is None else to_micros(which.until),
            "text": None if which.text is None else which.text.lower(),
            "error": which.error,
            "now": self.clock.now(),
        }

    @classmethod
    def conditions(
        cls, which: JobFilter, state: State | None, *, is_window: bool = False, is_read: bool = False
    ) -> str:
        """What a statement says for `{which}`. `is_window`: where it goes by places, and not by a state's index."""
        in_state = cls.AMONG if is_read else cls.IN_STATE
        if which.ids is not None or is_window:
            # An expression keeps SQLite from going by the state where it is to go by the ids.
            in_state = {each: f"state || '' = '{each}'" for each in State}
        return " AND ".join(cls._each_condition(which, None if state is None else in_state[state]))

    @classmethod
    def _each_condition(cls, which: JobFilter, in_state: str | None) -> Iterator[str]:
        yield "true"
        if which.ids is not None:
            yield cls.ID_IS_ONE_OF
        if in_state is not None:
            yield in_state
        for name, condition in _CONDITIONS.items():
            if getattr(which, name) is not None:
                yield condition
        if which.view is not None:
            yield _IN_VIEW[which.view]
        if which.text is not None:
            yield cls.HAS_TEXT
        if which.error is not None:
            yield cls.ERROR_IS_OF


_CONDITIONS = {
    "queue": "queue = :queue",
    "task": "task = :task",
    "since": "created_at >= :since",
    "until": "created_at < :until",
}
_NEWEST_FAILED = (
    "seq IN (SELECT seq FROM jobs WHERE finished_at IS NOT NULL ORDER BY finished_at DESC LIMIT :most)"
    " AND state || '' = 'failed'"
)
_FREE = "state || '' = 'queued' AND held_by IS NULL AND waiting = 0"
_IN_VIEW = {
    "held": "state || '' = 'queued' AND held_by IS NOT NULL",
    "waiting": "state || '' = 'queued' AND held_by IS NULL AND waiting = 1",
    "published": "state || '' = 'queued' AND published_until > :now",
    "ready": f"{_FREE} AND (ready > 0 OR run_at <= :now) AND (published_until IS NULL OR published_until <= :now)",
    "scheduled": f"{_FREE} AND ready = 0 AND run_at > :now AND failures = 0",
    "retrying": f"{_FREE} AND ready = 0 AND run_at > :now AND failures > 0",
}


def _window(since: datetime, step: timedelta) -> dict[str, int]:
    """The rows to read: those of minutes, or of hours where these are enough."""
    micros = span(step)
    length = MINUTE if micros % HOUR else HOUR
    begin = to_micros(since)
    return {"length": length, "since": begin - begin % length, "step": micros}


def _state_of(which: JobFilter) -> State | None:
    return which.state if which.view is None else State.QUEUED


def _failure_group(row: Row) -> FailureGroup:
    task, kind, count, first_at, last_at, last_id, error = row
    return FailureGroup(
        task=task,
        kind=kind,
        count=count,
        first_at=to_instant(first_at),
        last_at=to_instant(last_at),
        last_id=last_id,
        last_error=error,
    )
