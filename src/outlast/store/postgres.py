"""The store in a PostgreSQL database: how it takes jobs and ends many at once. What all stores do is `sql_store`.

The statements are in postgres.sql and both.sql, by name; how they become commits is `postgres_connection`. Statements
carry many rows at once, and claims skip what another worker is taking.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, ClassVar

from outlast.address import address_of
from outlast.clock import Clock
from outlast.job import LOST, Claimed, Ended, Line, NewJob, Outcome, State, Step
from outlast.lifecycle import Ending
from outlast.store import Settled
from outlast.store.named_sql import named_sql
from outlast.store.postgres_connection import PostgresConnection
from outlast.store.postgres_listener import PostgresListener, channel_of
from outlast.store.sql_search import Row
from outlast.store.sql_store import SQLStore, Wanted, is_ready_at_once, result_of, success_of

SQL = named_sql("postgres")


def columns_of(jobs: Sequence[NewJob]) -> dict[str, list[Any]]:
    """What the statement `insert` takes."""
    return _columns(NewJob._fields, jobs) | {"ready": [int(is_ready_at_once(job)) for job in jobs]}


def _places(found: str) -> str:
    """Found first, then looked up one by one: a plan that joins them may as well go through all jobs."""
    return f"seq = ANY(ARRAY({found}))"


class PostgresStore(SQLStore):
    """Keeps jobs in a schema of a database, shared by the processes of many machines.

    `url` shows no password. Without a clock given, the time is the database's. Workers outlive the database's crash, so
    what they must not do twice is flushed here, where on one machine it need not be: claims, and letting go.
    """

    SQL = SQL
    ID_IS_ONE_OF = "id = ANY(CAST(:ids AS text[]))"
    HAS_TEXT = "strpos(lower(luggage), CAST(:text AS text)) > 0"
    ERROR_IS_OF = "split_part(error, ':', 1) = CAST(:error AS text)"
    IN_STATE: ClassVar = {state: f"state = '{state}'" for state in State}
    # Not to change rows by: whoever waited for one that another has changed would not look at its state again.
    AMONG: ClassVar = {
        State.QUEUED: _places(
            "SELECT seq FROM jobs WHERE ready = 1 UNION ALL SELECT seq FROM jobs WHERE ready = 2"
            " UNION ALL SELECT seq FROM jobs WHERE ready = 0 AND state = 'queued'"
        ),
        State.RUNNING: _places("SELECT seq FROM jobs WHERE worker IS NOT NULL"),
        State.SUCCEEDED: "state = 'succeeded'",
        State.FAILED: _places("SELECT seq FROM jobs WHERE state = 'failed'"),
        State.CANCELLED: _places("SELECT seq FROM jobs WHERE state = 'cancelled'"),
    }

    def __init__(
        self,
        url: str,
        *,
        clock: Clock | None = None,
        dice: Callable[[], float] = random.random,
        read_only: bool = False,
        even_moved: bool = False,
    ) -> None:
        self._address = address_of(url)
        self._database = PostgresConnection(self._address, any_version=read_only, even_moved=even_moved)
        super().__init__(self._database, self._address.told, clock or self._database.clock, dice)

    def announce(self) -> None:
        self._database.execute(SQL["announce"], {"channel": channel_of(self._address)})

    def listener(self) -> PostgresListener | None:
        return PostgresListener.of(self._address)

    def insert(self, jobs: Sequence[NewJob]) -> None:
        if not jobs:
            return
        columns = {name: _array(column) for name, column in columns_of(jobs).items()}
        with self._database.own_transaction(flush=True):
            self._database.execute(SQL["insert"], columns)

    def whereabouts(self) -> str:
        """What tells these tables from all others, wherever and in whatever database they are."""
        rows = self._database.read(SQL["whereabouts"], {"schema": self._address.schema})
        return str(rows[0][0])

    def unhold(self, server: str, ids: Collection[str] | None = None) -> int:
        with self._database.own_transaction(flush=True):
            return super().unhold(server, ids)

    def rescue(self, worker: str, outcome: Outcome = LOST) -> list[Settled]:
        with self._database.own_transaction():
            self._database.read(SQL["lock_worker"], {"worker": worker})
            return super().rescue(worker, outcome)

    def shut(self) -> None:
        """Waits for those who are writing now. What is created here bears the names of its schema: no parameters."""
        schema = self._address.schema
        self._database.execute("SET LOCAL lock_timeout = '15s'")
        self._database.execute(
            f'CREATE TRIGGER jobs_have_moved BEFORE INSERT OR UPDATE OR DELETE ON "{schema}".jobs '
            f'FOR EACH STATEMENT EXECUTE FUNCTION "{schema}".jobs_have_moved()'
        )

    def open_up(self) -> None:
        self._database.execute(f'DROP TRIGGER IF EXISTS jobs_have_moved ON "{self._address.schema}".jobs')

    def keep_places(self, top: int) -> None:
        if top:
            self.rows("keep_places", table=f'"{self._address.schema}".jobs', top=top)

    def _list(self, values: Collection[Any] | None) -> list[Any] | None:
        return None if values is None else list(values)

    # ---- claiming

    def _claim(self, worker: str, wanted: Wanted) -> list[Claimed]:
        """One question answers what `SQLStore` asks in five: each takes its time over a network."""
        with self._database.own_transaction():
            is_due, rows = self._asked(worker, wanted, due=wanted.now)
            if is_due:
                self._promote(wanted.now)
                return self._take(worker, wanted)
            return self._kept(rows)

    def claim_published(self, worker: str, job_id: str, attempt: int, *, engine: str) -> Claimed | None:
        with self._database.own_transaction(flush=True):
            return super().claim_published(worker, job_id, attempt, engine=engine)

    def _take(self, worker: str, wanted: Wanted) -> list[Claimed]:
        return self._kept(self._asked(worker, wanted, due=0)[1])

    def _asked(self, worker: str, wanted: Wanted, *, due: int) -> tuple[bool, list[Row]]:
        """Whether a job is due by then that is not ready yet; if there is none, what was taken."""
        if None in wanted.handed:
            return False, []
        rows = self._database.read(
            self._ready_sql("claim", alone=wanted.alone),
            {
                "worker": worker,
                "now": wanted.now,
                "due": due,
                "limit": wanted.limit,
                "queues": self._list(wanted.queues),
                "handed": self._list(wanted.handed),
                "unknown": self._list(wanted.unknown),
                "unfit": self._list(wanted.unfit),
            },
        )
        return rows[0][0], [row[1:] for row in rows if row[1] is not None]

    def _take_one(self, worker: str, job_id: str, now: int) -> list[Claimed]:
        parameters = {"worker": worker, "id": job_id, "now": now}
        return self._kept(self._database.read(SQL["claim_one"], parameters))

    def _kept(self, rows: list[Row]) -> list[Claimed]:
        """In their order. An attempt number that a crash makes forgotten would be given out again."""
        if rows:
            self._database.flush()
        return [Claimed._make(row[3:]) for row in sorted(rows, key=lambda row: row[:3])]

    def _has_suspect(self, wanted: Wanted) -> bool:
        parameters = {
            "queues": self._open_queues(wanted),
            "now": wanted.now,
            "unknown": self._list(wanted.unknown),
            "unfit": self._list(wanted.unfit),
        }
        return bool(self._database.read(SQL["any_suspect"], parameters))

    # ---- what is told

    def _keep_steps(self, steps: Sequence[Row]) -> None:
        names = ("ids", "attempts", *Step._fields)
        self._database.execute(SQL["keep_steps"], _columns(names, steps))

    def _keep_lines(self, lines: Sequence[Row]) -> None:
        names = ("ids", "attempts", *Line._fields)
        self._database.execute(SQL["keep_lines"], _columns(names, lines))

    # ---- endings

    def _succeed(self, ends: Sequence[Ended], now: int) -> Iterable[Ending | None]:
        if not ends:
            return []
        first: dict[tuple[str, int], Ended] = {}
        for end in ends:
            first.setdefault((end.id, end.attempt), end)  # of two ends of one attempt the first counts
        rows = self._database.read(
            SQL["succeed"],
            {
                "now": now,
                "ids": _array([end.id for end in first.values()]),
                "attempts": _array([end.attempt for end in first.values()]),
                "results": _array([result_of(end) for end in first.values()]),
            },
        )
        failures = {(job_id, attempt): failures for job_id, attempt, failures, _ in rows}
        self._let_go([behind for *_, behind in rows if behind is not None], now)
        for fence in failures:
            self._keep_more(first[fence])
        return [
            success_of(failures.pop((end.id, end.attempt)), result_of(first[end.id, end.attempt]))
            if (end.id, end.attempt) in failures
            else None
            for end in ends
        ]

    def _open_way(self, ids: Sequence[str], now: int) -> list[Row]:
        return self._database.read(SQL["let_go"], {"ids": list(ids), "now": now})


def _columns(names: Sequence[str], rows: Sequence[Row]) -> dict[str, list[Any]]:
    """Rows as one parameter a column."""
    return {name: list(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)}


def _array(values: Sequence[str | int | None]) -> str:
    """As PostgreSQL writes one: the driver looks at each value for its type, as long as it takes to write the rows."""
    if len(set(values)) == 1:  # most columns of most commits
        return "{" + ",".join([_element(values[0])] * len(values)) + "}"
    return "{" + ",".join(map(_element, values)) + "}"


def _element(value: str | int | None) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return f"{value:d}"
