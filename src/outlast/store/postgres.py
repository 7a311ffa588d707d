"""The store in a PostgreSQL database: what each call of `Store` writes and reads.

The statements are in postgres.sql, by name; how they become commits is `postgres_connection`; what an end makes of a
job is `outlast.lifecycle`. Statements carry many rows at once, and claims skip what another worker is taking.
"""

from __future__ import annotations

import json
import random
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import timedelta
from functools import cache
from typing import Any

from outlast import lifecycle
from outlast.address import address_of
from outlast.clock import Clock, span, to_micros
from outlast.errors import JobNotFound
from outlast.job import Attempt, Claimed, Ended, JobRecord, Lost, NewJob, State, Succeeded
from outlast.lifecycle import Ending, Standing
from outlast.store import ALL, JobFilter, QueueRecord, Settled, WorkerRecord
from outlast.store.named_sql import named_sql
from outlast.store.postgres_connection import PostgresConnection
from outlast.store.postgres_listener import PostgresListener, channel_of
from outlast.store.rows import attempt_record, job_record, outcome_word
from outlast.store.sqlite import (
    _is_ready_at_once,
    _keeps_its_place,
    _queue_record,
    _ready,
    _result,
    _storable,
    _success,
    _worker_record,
)

SQL = named_sql("postgres.sql")
_PROMOTED = 1000
_EXPIRED = 1000


class PostgresStore:
    """Keeps jobs in a schema of a database, shared by the processes of many machines.

    `url` shows no password. Without a clock given, the time is the database's.
    """

    def __init__(self, url: str, *, clock: Clock | None = None) -> None:
        self._address = address_of(url)
        self._file = PostgresConnection(self._address)
        self.url = self._address.told
        self.clock = clock or self._file.clock

    # ---- commits

    def transaction(self, *, flush: bool = False) -> AbstractContextManager[None]:
        return self._file.transaction(flush=flush)

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self._file.close()

    # ---- machines

    def announce(self) -> None:
        self._file.execute(SQL["announce"], {"channel": channel_of(self._address)})

    def listener(self) -> PostgresListener | None:
        return PostgresListener.of(self._address)

    # ---- the receipt

    def insert(self, jobs: Sequence[NewJob]) -> None:
        if not jobs:
            return
        columns = {
            name: list(column) for name, column in zip(NewJob._fields, zip(*jobs, strict=True), strict=True)
        }
        columns["ready"] = [int(_is_ready_at_once(job)) for job in jobs]
        with self._file.own_transaction(flush=True):
            self._file.execute(SQL["insert"], columns)

    def unhold(self, server: str, ids: Collection[str] | None = None) -> int:
        parameters = {"server": server, "now": self.clock.now(), "ids": list(ids or ())}
        # Flushed: the server has forgotten them, and outlives the database's crash.
        with self._file.own_transaction(flush=True):
            return self._file.execute(
                SQL["unhold_all" if ids is None else "unhold_some"], parameters
            ).rowcount

    def holders(self) -> list[tuple[str, int]]:
        return self._file.read(SQL["holders"])

    # ---- the worker

    def enter(self, worker: WorkerRecord) -> None:
        row = {
            "id": worker.id,
            "host": worker.host,
            "premises": worker.premises,
            "pid": worker.pid,
            "queues": json.dumps(worker.queues),
            "slots": worker.slots,
            "started_at": to_micros(worker.started_at),
            "lease_until": to_micros(worker.lease_until),
        }
        with self._file.own_transaction():
            self._file.execute(SQL["enter"], row)

    def renew(self, worker: str, lease: timedelta) -> bool:
        until = self.clock.now() + span(lease)
        with self._file.own_transaction():
            return self._file.execute(SQL["renew"], {"until": until, "worker": worker}).rowcount == 1

    def leave(self, worker: str) -> bool:
        with self._file.own_transaction():
            return self._file.execute(SQL["leave"], {"worker": worker}).rowcount == 1

    def workers(self) -> list[WorkerRecord]:
        return [_worker_record(row) for row in self._file.read(SQL["workers"])]

    def claim(
        self,
        worker: str,
        limit: int,
        *,
        queues: Collection[str] | None = None,
        unknown: Collection[str] = (),
        alone: bool = False,
    ) -> list[Claimed]:
        if limit < 1:
            return []
        now = self.clock.now()
        with self._file.own_transaction():
            self._promote(now)
            served = self._open_queues(queues, alone)
            if not served or not self._file.read(SQL["knows_worker"], {"worker": worker}):
                return []
            rows = self._file.read(
                _ready_sql("claim", alone),
                {"worker": worker, "now": now, "limit": limit, "queues": served, "unknown": list(unknown)},
            )
            if rows:
                # Workers outlive the database's crash: an attempt number that was lost would be given out again.
                self._file.flush()
        return [Claimed._make(row[3:]) for row in sorted(rows, key=lambda row: row[:3])]

    def suspects(self, *, queues: Collection[str] | None = None, unknown: Collection[str] = ()) -> bool:
        now = self.clock.now()
        with self._file.own_transaction():
            self._promote(now)
            served = self._open_queues(queues, alone=True)
            parameters = {"queues": served, "now": now, "unknown": list(unknown)}
            return bool(served and self._file.read(SQL["any_suspect"], parameters))

    def settle(self, ends: Sequence[Ended]) -> list[Settled]:
        now = self.clock.now()
        with self._file.own_transaction():
            successes = self._succeed([end for end in ends if type(end.outcome) is Succeeded], now)
            return [
                Settled(
                    end.id,
                    end.attempt,
                    successes.pop((end.id, end.attempt), None)
                    if type(end.outcome) is Succeeded
                    else self._end_otherwise(end, now),
                )
                for end in ends
            ]

    def cancels(self, worker: str) -> list[tuple[str, int]]:
        return self._file.read(SQL["asked_to_cancel"], {"worker": worker})

    def running(self, worker: str) -> list[tuple[str, int]]:
        return self._file.read(SQL["running_of"], {"worker": worker})

    def rescue(self, worker: str) -> list[Settled]:
        with self._file.own_transaction():
            self._file.read(SQL["lock_worker"], {"worker": worker})
            ends = [Ended(job_id, attempt, Lost()) for job_id, attempt in self.running(worker)]
            settled = self.settle(ends)
            self._file.execute(SQL["forget"], {"worker": worker})
            return settled

    def expire(self) -> list[Settled]:
        settled: list[Settled] = []
        while some := self._expire_some():
            settled += some
        return settled

    def next_due(self) -> int | None:
        due: int | None = self._file.read(SQL["next_due"])[0][0]
        return due

    def prune(self, keep: timedelta, *, state: State | None = None, limit: int = 1000) -> int:
        parameters = {"before": self.clock.now() - span(keep), "state": state, "limit": limit}
        with self._file.own_transaction():
            return self._file.execute(SQL["prune"], parameters).rowcount

    # ---- people

    def get(self, job_id: str) -> JobRecord:
        records = self.find(JobFilter(ids=(job_id,)), limit=1)
        if not records:
            raise JobNotFound(
                f"there is no job {job_id} in {self.url}: it was never committed, or it ended and was pruned; "
                "`outlast jobs list` shows what is there"
            )
        return records[0]

    def find(self, which: JobFilter = ALL, *, limit: int = 50, before: str | None = None) -> list[JobRecord]:
        conditions, parameters = _conditions(which, which.state)
        if before is not None:
            conditions += f" AND seq < ({SQL['place_of']})"
        now = self.clock.now()
        sql = SQL["find"].replace("{which}", conditions)
        rows = self._file.read_named(sql, parameters | {"before": before, "limit": limit})
        return [job_record(row, now) for row in rows]

    def attempts(self, job_id: str) -> list[Attempt]:
        return [attempt_record(row) for row in self._file.read(SQL["attempts"], {"job": job_id})]

    def cancel(self, which: JobFilter) -> list[JobRecord]:
        now = self.clock.now()
        with self._file.own_transaction(flush=True):
            cancelled = self._change(SQL["cancel_queued"], which, State.QUEUED, now)
            asked = self._change(SQL["ask_to_cancel"], which, State.RUNNING, now)
            self._let_go_behind([row[1:] for row in cancelled], now)
            touched = tuple(row[0] for row in cancelled + asked)
            return self.find(JobFilter(ids=touched), limit=len(touched))

    def retry(self, which: JobFilter) -> list[str]:
        now = self.clock.now()
        with self._file.own_transaction(flush=True):
            failed = self._change(SQL["retry"], which, State.FAILED, now)
            cancelled = self._change(SQL["retry"], which, State.CANCELLED, now)
        return [job_id for (job_id,) in failed + cancelled]

    def queues(self) -> list[QueueRecord]:
        paused: dict[str, int | None] = {}
        sums: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
        for name, paused_at, *counted in self._file.read(SQL["queues"]):
            paused[name] = paused.get(name) or paused_at
            sums[name] = [total + more for total, more in zip(sums[name], counted, strict=True)]
        return [_queue_record(name, paused[name], *sums[name]) for name in sorted(sums)]

    def pause(self, queue: str) -> None:
        with self._file.own_transaction(flush=True):
            self._file.execute(SQL["pause"], {"name": queue, "now": self.clock.now()})

    def resume(self, queue: str) -> bool:
        with self._file.own_transaction(flush=True):
            return self._file.execute(SQL["resume"], {"name": queue}).rowcount == 1

    def ids_like(self, part: str, *, limit: int = 10) -> list[str]:
        return [job_id for (job_id,) in self._file.read(SQL["ids_like"], {"part": part, "limit": limit})]

    def oldest_ready(self) -> JobRecord | None:
        rows = self._file.read(SQL["oldest_ready"], {"now": self.clock.now()})
        return self.get(rows[0][0]) if rows else None

    def queued_tasks(self) -> dict[str, int]:
        return dict(self._file.read(SQL["queued_tasks"]))

    def counts(self) -> dict[str, int]:
        (row,) = self._file.read(SQL["counts"], {"now": self.clock.now()})
        ready, held, waiting, due, scheduled, retrying, running, finished, failed, cancelled = row
        return {
            "scheduled": scheduled,
            "retrying": retrying,
            "waiting": waiting,
            "held": held,
            "ready": ready + due,
            "running": running,
            "succeeded": finished - failed - cancelled,
            "failed": failed,
            "cancelled": cancelled,
        }

    # ---- claiming, in steps

    def _promote(self, now: int) -> None:
        due = self.next_due()
        if due is not None and due <= now:
            self._file.execute(SQL["promote"], {"now": now, "limit": _PROMOTED})

    def _open_queues(self, queues: Collection[str] | None, alone: bool) -> list[str]:
        """The queues to serve that have a job to give and are not paused."""
        names = self._file.read(_ready_sql("queues_with_ready", alone))
        return [name for (name,) in names if queues is None or name in queues]

    # ---- endings, in steps

    def _succeed(self, ends: Sequence[Ended], now: int) -> dict[tuple[str, int], Ending]:
        """All at once; what is not in the answer has lost the fence."""
        if not ends:
            return {}
        results: dict[tuple[str, int], Ended] = {}
        for end in ends:
            results.setdefault((end.id, end.attempt), end)  # of two ends of one attempt the first counts
        parameters = {
            "now": now,
            "ids": [end.id for end in results.values()],
            "attempts": [end.attempt for end in results.values()],
            "results": [_result(end) for end in results.values()],
        }
        rows = self._file.read(SQL["succeed"], parameters)
        self._let_go([behind for *_, behind in rows if behind is not None], now)
        for job_id, attempt, *_ in rows:
            self._insert_added(results[job_id, attempt])
        return {
            (job_id, attempt): _success(failures, _result(results[job_id, attempt]))
            for job_id, attempt, failures, _ in rows
        }

    def _insert_added(self, end: Ended) -> None:
        """The jobs that a task added are there once it has succeeded, and only then."""
        if isinstance(end.outcome, Succeeded) and end.outcome.added:
            self.insert(end.outcome.added)

    def _end_otherwise(self, end: Ended, now: int) -> Ending | None:
        """None when the fence was lost."""
        rows = self._file.read(SQL["standing"], {"id": end.id, "attempt": end.attempt})
        if not rows:
            return None
        *standing, run_at, worker, started_at, behind = rows[0]
        ending = lifecycle.ending(Standing(*standing), end.outcome, random.random())
        self._write_ending(end, ending, run_at, now)
        if ending.error is not None:
            self._keep_attempt(end, ending, worker, started_at, now)
        if ending.opens and behind is not None:
            self._let_go([behind], now)
        return ending

    def _write_ending(self, end: Ended, ending: Ending, run_at: int, now: int) -> None:
        again = ending.state is State.QUEUED
        at_once = again and ending.wait <= 0
        if again and not (at_once and _keeps_its_place(end.outcome)):
            run_at = now + ending.wait
        self._file.execute(
            SQL["end"],
            {
                "id": end.id,
                "attempt": end.attempt,
                "state": ending.state,
                "ready": _ready(ending.deaths > 0) if at_once else 0,
                "run_at": run_at,
                "failures": ending.failures,
                "deaths": ending.deaths,
                "rescues": ending.rescues,
                "finished_at": None if again else now,
                "reason": ending.reason,
                "error": _storable(ending.error),
                "note": _storable(ending.note),
            },
        )

    def _keep_attempt(self, end: Ended, ending: Ending, worker: str, started_at: int, now: int) -> None:
        self._file.execute(
            SQL["keep_attempt"],
            {
                "id": end.id,
                "attempt": end.attempt,
                "outcome": outcome_word(end.outcome),
                "error": _storable(ending.error),
                "traceback": _storable(ending.traceback),
                "worker": worker,
                "started_at": started_at,
                "now": now,
            },
        )

    def _let_go(self, ids: list[str], now: int) -> None:
        """Let jobs start that waited; and those behind them, if they were cancelled or expired while they waited."""
        while ids:
            rows = self._file.read(SQL["let_go"], {"ids": ids, "now": now})
            ids = [behind for state, behind in rows if behind is not None and State(state).ended]

    def _expire_some(self) -> list[Settled]:
        now = self.clock.now()
        with self._file.own_transaction():
            overdue = self._file.read(SQL["overdue"], {"now": now, "limit": _EXPIRED})
            return [self._expire(row, now) for row in overdue]

    def _expire(self, row: tuple[Any, ...], now: int) -> Settled:
        seq, job_id, attempt, *standing = row
        ending = lifecycle.expiry(*standing)
        parameters = {"now": now, "reason": ending.reason, "error": ending.error, "seq": seq}
        self._let_go_behind(self._file.read(SQL["expire"], parameters), now)
        return Settled(job_id, attempt, ending)

    def _let_go_behind(self, ended: Iterable[tuple[int, str | None]], now: int) -> None:
        """What lies behind jobs that ended while queued. Behind one that itself waited, `_let_go` comes by later."""
        self._let_go([behind for waiting, behind in ended if not waiting and behind is not None], now)

    # ---- small reads and writes

    def _change(self, sql: str, which: JobFilter, state: State, now: int) -> list[tuple[Any, ...]]:
        """Change the jobs that match and are in this state."""
        if which.state not in (None, state):
            return []
        conditions, parameters = _conditions(which, state)
        return self._file.read(sql.replace("{which}", conditions), parameters | {"now": now})


@cache
def _ready_sql(name: str, alone: bool) -> str:
    return SQL[name].replace("{ready}", str(_ready(alone)))


def _conditions(which: JobFilter, state: State | None) -> tuple[str, dict[str, Any]]:
    return " AND ".join(_each_condition(which, state)), {
        "queue": which.queue,
        "task": which.task,
        "ids": None if which.ids is None else list(which.ids),
        "state": state,
    }


def _each_condition(which: JobFilter, state: State | None) -> Iterator[str]:
    yield "true"
    if which.ids is not None:
        yield "id = ANY(CAST(:ids AS text[]))"
    if state is not None:
        yield "state = :state"
    if which.queue is not None:
        yield "queue = :queue"
    if which.task is not None:
        yield "task = :task"
