"""The store in one SQLite file: how it takes jobs and ends many at once. What it does as every store is `sql_store`.

The statements are in sqlite.sql and both.sql, by name; how they become commits is `sqlite_file`. Two habits keep it
fast: a claim reads nothing but its index and the jobs it takes, and the store remembers which job lies behind each one
that it claimed itself, so that a success is one statement.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from heapq import merge
from itertools import chain, islice
from typing import Any, ClassVar

from outlast.clock import Clock
from outlast.job import Claimed, Ended, NewJob, State
from outlast.lifecycle import Ending
from outlast.store.named_sql import named_sql
from outlast.store.sql_search import Row
from outlast.store.sql_store import SQLStore, Wanted, is_ready_at_once, result_of, success_of
from outlast.store.sqlite_file import SQLiteFile

SQL = named_sql("sqlite")
_ROWS = 25
"""Jobs written by one statement, where there are as many: a third less work than one by one."""
_INSERT_MANY = re.sub(r"VALUES (\(.*?\))", lambda row: "VALUES " + ", ".join([row[1]] * _ROWS), SQL["insert"])
_WRITES = ("insert", "update", "delete")
_REMEMBERED = 50_000
"""Claimed jobs remembered, at most; beyond it the store asks its file."""

_Known = tuple[int, int, str | None]
"""Of a claimed job: its place in the file, its failures, the job behind it."""


class SQLiteStore(SQLStore):
    """Keeps jobs in one file, shared by the processes of one machine.

    `sqlite://` keeps them in memory, for tests: there is one connection to it, and nothing is left when it is closed.
    `url` has its path made absolute.
    """

    SQL = SQL
    ID_IS_ONE_OF = "id IN (SELECT value FROM json_each(:ids))"
    HAS_TEXT = "instr(lower(luggage), :text) > 0"
    ERROR_IS_OF = "substr(error, 1, instr(error || ':', ':') - 1) = :error"
    # The newest first, by the indexes of those that are few. What has succeeded is most of all: found by looking.
    IN_STATE: ClassVar = {
        State.QUEUED: (
            "seq IN (SELECT seq FROM jobs WHERE ready > 0"
            " UNION ALL SELECT seq FROM jobs WHERE ready = 0 AND state = 'queued')"
        ),
        State.RUNNING: "seq IN (SELECT seq FROM jobs WHERE worker IS NOT NULL)",
        State.SUCCEEDED: "state = 'succeeded'",
        State.FAILED: "seq IN (SELECT seq FROM jobs WHERE state = 'failed')",
        State.CANCELLED: "seq IN (SELECT seq FROM jobs WHERE state = 'cancelled')",
    }
    AMONG = IN_STATE

    def __init__(
        self,
        url: str,
        *,
        clock: Clock,
        dice: Callable[[], float] = random.random,
        create: bool = True,
        read_only: bool = False,
        even_moved: bool = False,
    ) -> None:
        self._file = SQLiteFile(url, create=create, read_only=read_only, even_moved=even_moved)
        super().__init__(self._file, self._file.url, clock, dice)
        self._execute = self._file.execute
        self._claimed: dict[str, _Known | None] = {}

    def announce(self) -> None:
        """All who use the file are on this machine, and have a bell."""

    def listener(self) -> None:
        return None

    def insert(self, jobs: Sequence[NewJob]) -> None:
        rows = [(*job, is_ready_at_once(job)) for job in jobs]
        odd = len(rows) % _ROWS
        with self._file.own_transaction(flush=True):
            self._file.executemany(SQL["insert"], rows[:odd])
            for start in range(odd, len(rows), _ROWS):
                self._execute(_INSERT_MANY, [*chain.from_iterable(rows[start : start + _ROWS])])

    @property
    def is_older(self) -> bool:
        return self._file.is_older

    def facts(self) -> dict[str, str]:
        return self._file.facts()

    def shut(self) -> None:
        for event in _WRITES:
            self.run(f"shut_{event}")

    def open_up(self) -> None:
        for event in _WRITES:
            self.run(f"open_{event}")

    def keep_places(self, top: int) -> None:
        """A new job goes above all that are there."""

    def _list(self, values: Collection[Any] | None) -> str:
        return json.dumps(None if values is None else list(values))

    # ---- claiming

    def _take(self, worker: str, wanted: Wanted) -> list[Claimed]:
        return self._claim_rows(worker, self._next_up(wanted), wanted.now)

    def _take_one(self, worker: str, job_id: str, now: int) -> list[Claimed]:
        rows = self._file.read(SQL["free_to_start"], {"id": job_id, "now": now})
        return self._claim_rows(worker, rows, now)

    def _has_suspect(self, wanted: Wanted) -> bool:
        return bool(self._next_up(wanted))

    def _claim_rows(self, worker: str, rows: Sequence[Row], now: int) -> list[Claimed]:
        self._file.executemany(SQL["claim"], [(worker, now, seq) for _, _, seq, *_ in rows])
        return self._remembered(rows)

    def _next_up(self, wanted: Wanted) -> list[Row]:
        """Read from the front of each queue only as far as the claim goes."""
        front = {
            "now": wanted.now,
            "unknown": self._list(wanted.unknown),
            "unfit": self._list(wanted.unfit),
            "limit": wanted.limit,
        }
        fronts = [
            self._execute(self._ready_sql("next_ready", alone=wanted.alone), front | {"queue": name})
            for name in self._open_queues(wanted)
        ]
        if len(fronts) == 1:
            return fronts[0].fetchall()
        rows = list(islice(merge(*fronts), wanted.limit))
        for cursor in fronts:
            cursor.close()
        return rows

    def _remembered(self, rows: Iterable[Row]) -> list[Claimed]:
        if len(self._claimed) > _REMEMBERED:
            self._claimed.clear()
        jobs = []
        for _, _, seq, behind, *columns in rows:
            job = Claimed._make(columns)
            self._claimed[job.id] = (seq, job.failures, behind)
            jobs.append(job)
        return jobs

    # ---- what is told

    def _keep_steps(self, steps: Sequence[Row]) -> None:
        self._execute(SQL["keep_steps"], {"told": json.dumps(steps)})

    def _keep_lines(self, lines: Sequence[Row]) -> None:
        self._execute(SQL["keep_lines"], {"told": json.dumps(lines)})

    # ---- endings

    def _succeed(self, ends: Sequence[Ended], now: int) -> Iterator[Ending | None]:
        """All at once, and for each what became of it: None when the fence was lost."""
        known = [self._claimed.pop(end.id, None) or self._looked_up(end) for end in ends]
        rows = (
            (now, result_of(end), seq, end.id, end.attempt)
            for end, (seq, _, _) in zip(ends, known, strict=True)
        )
        changed = self._file.change_each(SQL["succeed"], rows)
        self._let_go(
            [behind for (*_, behind), is_ours in zip(known, changed, strict=True) if is_ours and behind], now
        )
        for end, (_, failures, _), is_ours in zip(ends, known, changed, strict=True):
            if is_ours:
                self._keep_more(end)
            yield success_of(failures, result_of(end)) if is_ours else None

    def _looked_up(self, end: Ended) -> _Known:
        """For a job that another connection claimed."""
        for failures, *_, seq, behind in self._file.read(
            SQL["standing"], {"id": end.id, "attempt": end.attempt}
        ):
            return seq, failures, behind
        return -1, 0, None

    def _end_otherwise(self, end: Ended, now: int) -> Ending | None:
        self._claimed.pop(end.id, None)
        return super()._end_otherwise(end, now)

    def _open_way(self, ids: Sequence[str], now: int) -> list[Row]:
        gone = (self._execute(SQL["let_go"], {"id": job_id, "now": now}).fetchall() for job_id in ids)
        return [*chain.from_iterable(gone)]
