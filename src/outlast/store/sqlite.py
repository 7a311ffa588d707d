"""The store in one SQLite file: what each call of `Store` writes and reads.

The statements are in sqlite.sql, by name; how they become commits is `sqlite_file`; what an end makes of a job is
`outlast.lifecycle`. Two habits keep it fast: a claim reads nothing but its index and the jobs it takes, and the store
remembers which job lies behind each one that it claimed itself, so that a success is one statement.
"""

from __future__ import annotations

import json
import random
import re
from array import array
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import timedelta
from functools import cache
from heapq import merge
from itertools import chain, islice
from typing import Any

from outlast import lifecycle
from outlast.clock import Clock, span, to_instant, to_micros
from outlast.errors import JobNotFound
from outlast.job import Attempt, Claimed, Ended, JobRecord, Lost, NewJob, Outcome, Released, State, Succeeded
from outlast.lifecycle import Ending, Standing
from outlast.store import (
    ALL,
    MOST_AHEAD,
    Circumstances,
    Hand,
    JobFilter,
    LiveJob,
    QueueRecord,
    Settled,
    WorkerRecord,
)
from outlast.store.named_sql import named_sql
from outlast.store.rows import attempt_record, job_record, outcome_word
from outlast.store.sqlite_file import Parameters, SQLiteFile

SQL = named_sql("sqlite.sql")
_ROWS = 25
"""Jobs written by one statement, where there are as many: a third less work than one by one."""
_INSERT_MANY = re.sub(r"VALUES (\(.*?\))", lambda row: "VALUES " + ", ".join([row[1]] * _ROWS), SQL["insert"])
_PROMOTED = 1000
"""Due jobs made ready by one claim, at most: the next claim makes the next ones ready."""
_EXPIRED = 1000
"""Jobs expired in one commit, at most."""
_PIECE = 500
"""Live jobs read at a time: their arguments may take a megabyte each."""
_REMEMBERED = 50_000
"""Claimed jobs remembered, at most; beyond it the store asks its file."""


_Known = tuple[int, int, str | None]
"""Of a claimed job: its place in the file, its failures, the job behind it."""


class SQLiteStore:
    """Keeps jobs in one file, shared by the processes of one machine.

    `sqlite://` keeps them in memory, for tests: there is one connection to it, and nothing is left when it is closed.
    `url` has its path made absolute.
    """

    def __init__(
        self,
        url: str,
        *,
        clock: Clock,
        dice: Callable[[], float] = random.random,
        create: bool = True,
        read_only: bool = False,
    ) -> None:
        self._file = SQLiteFile(url, create=create, read_only=read_only)
        self.url = self._file.url
        self.clock = clock
        self._dice = dice
        self._execute = self._file.execute
        self._claimed: dict[str, _Known | None] = {}

    # ---- commits

    def transaction(self, *, flush: bool = False) -> AbstractContextManager[None]:
        return self._file.transaction(flush=flush)

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self._file.close()

    # ---- the receipt

    def insert(self, jobs: Sequence[NewJob]) -> None:
        rows = [(*job, _is_ready_at_once(job)) for job in jobs]
        odd = len(rows) % _ROWS
        with self._file.own_transaction(flush=True):
            self._file.executemany(SQL["insert"], rows[:odd])
            for start in range(odd, len(rows), _ROWS):
                self._execute(_INSERT_MANY, [*chain.from_iterable(rows[start : start + _ROWS])])

    def unhold(self, server: str, ids: Collection[str] | None = None) -> int:
        parameters = {"server": server, "now": self.clock.now(), "ids": json.dumps(list(ids or ()))}
        with self._file.own_transaction():
            return self._execute(SQL["unhold_all" if ids is None else "unhold_some"], parameters).rowcount

    def holders(self) -> list[str]:
        return [server for (server,) in self._file.read(SQL["holders"])]

    # ---- the worker

    def enter(self, worker: WorkerRecord) -> None:
        row = (
            worker.id,
            worker.host,
            worker.pid,
            json.dumps(worker.queues),
            worker.slots,
            to_micros(worker.started_at),
            to_micros(worker.lease_until),
            worker.room,
            json.dumps(worker.unknown),
            worker.is_leaving,
        )
        with self._file.own_transaction():
            self._execute(SQL["enter"], row)

    def renew(self, worker: str, lease: timedelta) -> bool:
        with self._file.own_transaction():
            return self._execute(SQL["renew"], (self.clock.now() + span(lease), worker)).rowcount == 1

    def report(
        self, worker: str, *, room: int, unknown: Collection[str] = (), is_leaving: bool = False
    ) -> None:
        with self._file.own_transaction():
            self._execute(SQL["report"], (room, json.dumps(sorted(unknown)), is_leaving, worker))

    def leave(self, worker: str) -> None:
        with self._file.own_transaction():
            self._execute(SQL["leave"], {"worker": worker})

    def workers(self) -> list[WorkerRecord]:
        return [_worker_record(row) for row in self._file.read(SQL["workers"])]

    def claim(
        self,
        worker: str,
        limit: int,
        *,
        queues: Collection[str] | None = None,
        unknown: Collection[str] = (),
        unfit: Collection[str] = (),
        alone: bool = False,
    ) -> list[Claimed]:
        now = self.clock.now()
        if limit < 1 or not self._may_claim(now, alone):
            return []
        with self._file.own_transaction():
            if not self._knows(worker):
                return []
            self._promote(now)
            rows = self._next_up(limit, queues, (unknown, unfit), alone, now)
            self._file.executemany(SQL["claim"], [(worker, now, seq) for _, _, seq, *_ in rows])
        return self._remembered(rows)

    def claim_one(self, worker: str, job_id: str) -> Claimed | None:
        now = self.clock.now()
        with self._file.own_transaction():
            if not self._knows(worker):
                return None
            rows = self._file.read(SQL["free_to_start"], {"id": job_id, "now": now})
            self._file.executemany(SQL["claim"], [(worker, now, seq) for _, _, seq, *_ in rows])
        return next(iter(self._remembered(rows)), None)

    def suspects(
        self,
        *,
        queues: Collection[str] | None = None,
        unknown: Collection[str] = (),
        unfit: Collection[str] = (),
    ) -> bool:
        now = self.clock.now()
        if not self._may_claim(now, alone=True):
            return False
        with self._file.own_transaction():
            self._promote(now)
            return bool(self._next_up(1, queues, (unknown, unfit), True, now))

    def settle(self, ends: Sequence[Ended]) -> list[Settled]:
        now = self.clock.now()
        with self._file.own_transaction():
            successes = self._succeed([end for end in ends if type(end.outcome) is Succeeded], now)
            return [
                Settled(
                    end.id,
                    end.attempt,
                    next(successes) if type(end.outcome) is Succeeded else self._end_otherwise(end, now),
                )
                for end in ends
            ]

    def cancels(self, worker: str) -> list[tuple[str, int]]:
        return self._file.read(SQL["asked_to_cancel"], (worker,))

    def running(self, worker: str) -> list[tuple[str, int]]:
        return self._file.read(SQL["running_of"], (worker,))

    def rescue(self, worker: str) -> list[Settled]:
        with self._file.own_transaction():
            contexts = dict(self._file.read(SQL["contexts_of"], (worker,)))
            settled = self.settle(
                [Ended(job_id, attempt, Lost()) for job_id, attempt in self.running(worker)]
            )
            self._execute(SQL["forget"], (worker,))
            return [each._replace(context=contexts[each.id]) for each in settled]

    def expire(self) -> list[Settled]:
        settled: list[Settled] = []
        while some := self._expire_some():
            settled += some
        return settled

    def next_due(self) -> int | None:
        due: int | None = self._one(SQL["next_due"])
        return due

    def next_expiry(self) -> int | None:
        expiry: int | None = self._one(SQL["next_expiry"])
        return expiry

    def prune(self, keep: timedelta, *, state: State | None = None, limit: int = 1000) -> int:
        parameters = {"before": self.clock.now() - span(keep), "state": state, "limit": limit}
        with self._file.own_transaction():
            return self._execute(SQL["prune"], parameters).rowcount

    # ---- people

    def get(self, job_id: str) -> JobRecord:
        records = self.find(JobFilter(ids=(job_id,)), limit=1)
        if not records:
            raise JobNotFound(
                f"there is no job {job_id} in {self.url}: it was never committed, or it ended and was pruned; "
                "`outlast jobs list` shows what is there"
            )
        return records[0]

    def circumstances(self, job_id: str) -> Circumstances:
        with self._file.moment():
            job = self.get(job_id)
            [place] = self._file.read_named(SQL["place"], (job_id,))
            return Circumstances(
                job=job,
                now=to_instant(self.clock.now()),
                is_held=bool(place["held"]),
                is_waiting=bool(place["waiting"]),
                before=self._before(job_id, place["seq"]) if place["waiting"] else None,
                is_ready=place["ready"] > 0,
                is_suspect=bool(place["suspect"]),
                is_paused=bool(self._one(SQL["is_paused"], (job.queue,))),
                hands=tuple(self._hand(worker, job, place) for worker in self.workers()),
            )

    def find(self, which: JobFilter = ALL, *, limit: int = 50, before: str | None = None) -> list[JobRecord]:
        conditions, parameters = _conditions(which, which.state)
        if before is not None:
            conditions += f" AND seq < ({SQL['place_of']})"
        now = self.clock.now()
        sql = SQL["find"].replace("{which}", conditions)
        rows = self._file.read_named(sql, parameters | {"before": before, "limit": limit})
        return [job_record(row, now) for row in rows]

    def attempts(self, job_id: str) -> list[Attempt]:
        return [attempt_record(row) for row in self._file.read(SQL["attempts"], (job_id,))]

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
            self._execute(SQL["pause"], (queue, self.clock.now()))

    def resume(self, queue: str) -> bool:
        with self._file.own_transaction(flush=True):
            return self._execute(SQL["resume"], (queue,)).rowcount == 1

    def ids_like(self, part: str, *, limit: int = 10) -> list[str]:
        found = self._file.read(SQL["ids_like"], {"part": part, "limit": limit})
        return [job_id for (job_id,) in found]

    def oldest_ready(self) -> JobRecord | None:
        oldest = self._one(SQL["oldest_ready"], (self.clock.now(),))
        return None if oldest is None else self.get(oldest)

    def live(self) -> Iterator[LiveJob]:
        """Piece by piece: one long read would keep the log from being copied back. Places take eight bytes each."""
        places = array("q", (seq for (seq,) in self._file.stream(SQL["live_places"])))
        for start in range(0, len(places), _PIECE):
            piece = json.dumps(places[start : start + _PIECE].tolist())
            for job_id, task, luggage, is_running in self._file.read(SQL["live"], (piece,)):
                yield LiveJob(job_id, task, luggage, bool(is_running))

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

    # ---- what surrounds a job, in steps

    def _before(self, job_id: str, seq: int) -> JobRecord | None:
        """Those that ended while they waited let nobody go before their turn."""
        while rows := self._file.read(SQL["job_before"], {"id": job_id, "seq": seq}):
            seq, job_id = rows[0]
            job = self.get(job_id)
            if not job.state.ended:
                return job
        return None

    def _hand(self, worker: WorkerRecord, job: JobRecord, place: Mapping[str, Any]) -> Hand:
        return Hand(
            worker=worker,
            running=self._one(SQL["count_running"], (worker.id,)),
            ahead=self._ahead(worker, place) if _would_take(worker, job) else 0,
        )

    def _ahead(self, worker: WorkerRecord, place: Mapping[str, Any]) -> int:
        count: int = self._one(
            _ready_sql("ahead", bool(place["suspect"])),
            {
                **{name: place[name] for name in ("seq", "priority", "run_at")},
                "queues": json.dumps(worker.queues),
                "unknown": json.dumps(worker.unknown),
                "now": self.clock.now(),
                "most": MOST_AHEAD,
            },
        )
        return count

    # ---- claiming, in steps

    def _may_claim(self, now: int, alone: bool) -> bool:
        """A look without the writer's lock: an idle worker must not make servers wait."""
        return self._one(_ready_sql("any_ready", alone)) == 1 or self._is_one_due(now)

    def _knows(self, worker: str) -> bool:
        """Whoever rescues looks through the known workers: what any other claimed would be lost with it."""
        return self._one(SQL["knows_worker"], (worker,)) is not None

    def _promote(self, now: int) -> None:
        if self._is_one_due(now):
            self._execute(SQL["promote"], (now, _PROMOTED))

    def _is_one_due(self, now: int) -> bool:
        due = self.next_due()
        return due is not None and due <= now

    def _next_up(
        self,
        limit: int,
        queues: Collection[str] | None,
        left: tuple[Collection[str], Collection[str]],
        alone: bool,
        now: int,
    ) -> list[tuple[Any, ...]]:
        """Read from the front of each queue only as far as the claim goes."""
        unknown, unfit = (json.dumps(list(each)) for each in left)
        front = {"now": now, "unknown": unknown, "unfit": unfit, "limit": limit}
        fronts = [
            self._execute(_ready_sql("next_ready", alone), front | {"queue": name})
            for name in self._open_queues(queues, alone)
        ]
        if len(fronts) == 1:
            return fronts[0].fetchall()
        rows = list(islice(merge(*fronts), limit))
        for cursor in fronts:
            cursor.close()
        return rows

    def _open_queues(self, queues: Collection[str] | None, alone: bool) -> list[str]:
        """The queues to serve that have a job to give and are not paused."""
        names = self._file.read(_ready_sql("queues_with_ready", alone))
        return [name for (name,) in names if queues is None or name in queues]

    def _remembered(self, rows: Iterable[tuple[Any, ...]]) -> list[Claimed]:
        if len(self._claimed) > _REMEMBERED:
            self._claimed.clear()
        jobs = []
        for _, _, seq, behind, *columns in rows:
            job = Claimed._make(columns)
            self._claimed[job.id] = (seq, job.failures, behind)
            jobs.append(job)
        return jobs

    # ---- endings, in steps

    def _succeed(self, ends: Sequence[Ended], now: int) -> Iterator[Ending | None]:
        """All at once, and for each what became of it: None when the fence was lost."""
        known = [self._claimed.pop(end.id, None) or self._looked_up(end) for end in ends]
        rows = (
            (now, _result(end), seq, end.id, end.attempt)
            for end, (seq, _, _) in zip(ends, known, strict=True)
        )
        changed = self._file.change_each(SQL["succeed"], rows)
        for end, (_, failures, behind), is_ours in zip(ends, known, changed, strict=True):
            if is_ours:
                self._let_go(behind, now)
                self._insert_added(end)
            yield _success(failures, _result(end)) if is_ours else None

    def _insert_added(self, end: Ended) -> None:
        """The jobs that a task added are there once it has succeeded, and only then."""
        if isinstance(end.outcome, Succeeded) and end.outcome.added:
            self.insert(end.outcome.added)

    def _looked_up(self, end: Ended) -> _Known:
        """For a job that another connection claimed."""
        for failures, *_, seq, behind in self._file.read(SQL["standing"], (end.id, end.attempt)):
            return seq, failures, behind
        return -1, 0, None

    def _end_otherwise(self, end: Ended, now: int) -> Ending | None:
        """None when the fence was lost."""
        self._claimed.pop(end.id, None)
        rows = self._file.read(SQL["standing"], (end.id, end.attempt))
        if not rows:
            return None
        *standing, run_at, worker, started_at, _, behind = rows[0]
        ending = lifecycle.ending(Standing(*standing), end.outcome, self._dice())
        self._write_ending(end, ending, run_at, now)
        if ending.error is not None:
            self._keep_attempt(end, ending, worker, started_at, now)
        if ending.opens:
            self._let_go(behind, now)
        return ending

    def _write_ending(self, end: Ended, ending: Ending, run_at: int, now: int) -> None:
        again = ending.state is State.QUEUED
        at_once = again and ending.wait <= 0
        if again and not (at_once and _keeps_its_place(end.outcome)):
            run_at = now + ending.wait
        self._execute(
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
        outcome = outcome_word(end.outcome)
        error, traceback = _storable(ending.error), _storable(ending.traceback)
        self._execute(
            SQL["keep_attempt"], (end.id, end.attempt, outcome, error, traceback, worker, started_at, now)
        )

    def _let_go(self, job_id: str | None, now: int) -> None:
        """Let a job start that waited; and the one behind it, if this one was cancelled or expired while it waited."""
        while job_id is not None:
            row = self._execute(SQL["let_go"], {"id": job_id, "now": now}).fetchone()
            job_id = row[1] if row is not None and State(row[0]).ended else None

    def _expire_some(self) -> list[Settled]:
        now = self.clock.now()
        if not self._file.read(SQL["overdue"], (now, 1)):
            return []
        with self._file.own_transaction():
            overdue = self._file.read(SQL["overdue"], (now, _EXPIRED))
            return [self._expire(row, now) for row in overdue]

    def _expire(self, row: tuple[Any, ...], now: int) -> Settled:
        seq, job_id, attempt, context, *standing = row
        ending = lifecycle.expiry(*standing)
        changed = self._execute(SQL["expire"], (now, ending.reason, ending.error, seq))
        self._let_go_behind(changed.fetchall(), now)
        return Settled(job_id, attempt, ending, context)

    def _let_go_behind(self, ended: Iterable[tuple[int, str | None]], now: int) -> None:
        """What lies behind jobs that ended while queued. Behind one that itself waited, `_let_go` comes by later."""
        for waiting, behind in ended:
            if not waiting:
                self._let_go(behind, now)

    # ---- small reads and writes

    def _one(self, sql: str, parameters: Parameters = ()) -> Any:
        rows = self._file.read(sql, parameters)
        return rows[0][0] if rows else None

    def _change(self, sql: str, which: JobFilter, state: State, now: int) -> list[tuple[Any, ...]]:
        """Change the jobs that match and are in this state."""
        if which.state not in (None, state):
            return []
        conditions, parameters = _conditions(which, state)
        return self._execute(sql.replace("{which}", conditions), parameters | {"now": now}).fetchall()


def _ready(alone: bool) -> int:
    """The value of the column `ready` for a job that may be claimed now: on its own only, if it is under suspicion."""
    return 2 if alone else 1


@cache
def _ready_sql(name: str, alone: bool) -> str:
    return SQL[name].replace("{ready}", str(_ready(alone)))


def _would_take(worker: WorkerRecord, job: JobRecord) -> bool:
    return job.state is State.QUEUED and worker.serves(job.queue) and job.task not in worker.unknown


def _is_ready_at_once(job: NewJob) -> bool:
    """Whatever the clock says now: one that jumps back delays only what was meant to be delayed."""
    return job.waiting == 0 and job.held_by is None and job.run_at <= job.created_at


def _success(failures: int, result: str | None) -> Ending:
    return (
        replace(_plain_success(failures), result=result) if result is not None else _plain_success(failures)
    )


@cache
def _plain_success(failures: int) -> Ending:
    """Made once: most successes are alike."""
    return lifecycle.ending(Standing(failures, 1, 0, 0, None, False, False), Succeeded(), 0.0)


def _result(end: Ended) -> str | None:
    return end.outcome.result if isinstance(end.outcome, Succeeded) else None


def _keeps_its_place(outcome: Outcome) -> bool:
    """Handed back unharmed, a job does not go behind those that came after it."""
    return isinstance(outcome, Released | Lost)


def _storable(text: str | None) -> str | None:
    """An error may quote a file name that is no Unicode; the database keeps only what is."""
    return None if text is None else text.encode("utf-8", "backslashreplace").decode("utf-8")


# The newest first, by the indexes of those that are few. What has succeeded is most of all there is: found by looking.
_IN_STATE = {
    State.QUEUED: (
        "seq IN (SELECT seq FROM jobs WHERE ready > 0"
        " UNION ALL SELECT seq FROM jobs WHERE ready = 0 AND state = 'queued')"
    ),
    State.RUNNING: "seq IN (SELECT seq FROM jobs WHERE worker IS NOT NULL)",
    State.SUCCEEDED: "state = 'succeeded'",
    State.FAILED: "seq IN (SELECT seq FROM jobs WHERE state = 'failed')",
    State.CANCELLED: "seq IN (SELECT seq FROM jobs WHERE state = 'cancelled')",
}


def _conditions(which: JobFilter, state: State | None) -> tuple[str, dict[str, Any]]:
    return " AND ".join(_each_condition(which, state)), {
        "queue": which.queue,
        "task": which.task,
        "ids": None if which.ids is None else json.dumps(which.ids),
    }


def _each_condition(which: JobFilter, state: State | None) -> Iterator[str]:
    yield "true"
    if which.ids is not None:
        yield "id IN (SELECT value FROM json_each(:ids))"
    if state is not None:
        # The plus keeps SQLite from going by the state where it is to go by the ids.
        yield _IN_STATE[state] if which.ids is None else f"+state = '{state}'"
    if which.queue is not None:
        yield "queue = :queue"
    if which.task is not None:
        yield "task = :task"


def _worker_record(row: tuple[Any, ...]) -> WorkerRecord:
    worker, host, pid, queues, slots, started_at, lease_until, room, unknown, leaving = row
    served = json.loads(queues)
    return WorkerRecord(
        id=worker,
        host=host,
        pid=pid,
        queues=None if served is None else tuple(served),
        slots=slots,
        started_at=to_instant(started_at),
        lease_until=to_instant(lease_until),
        room=room,
        unknown=tuple(json.loads(unknown)),
        is_leaving=bool(leaving),
    )


def _queue_record(name: str, paused_at: int | None, queued: int, running: int, failed: int) -> QueueRecord:
    return QueueRecord(
        name=name,
        paused_at=None if paused_at is None else to_instant(paused_at),
        queued=queued,
        running=running,
        failed=failed,
    )
