"""What every SQL database does alike as a store: the flows of `Store`, over statements that each dialect has by name.

The dialects are `sqlite` and `postgres`: how they connect and commit, how they take jobs and end many at once, and how
a list of values is given to a statement. What an end makes of a job is `outlast.lifecycle`.
"""

from __future__ import annotations

import json
from abc import abstractmethod
from array import array
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import astuple, replace
from datetime import datetime, timedelta
from functools import cache
from typing import Any, NamedTuple

from outlast import lifecycle
from outlast.clock import span, to_instant, to_micros
from outlast.errors import StoreError
from outlast.handed import Handed, is_among
from outlast.job import (
    LOST,
    SUCCEEDED,
    Attempt,
    Claimed,
    Ended,
    JobRecord,
    LogLine,
    Lost,
    NewJob,
    Offered,
    Outcome,
    Released,
    State,
    Succeeded,
    Told,
)
from outlast.lifecycle import Ending, Standing
from outlast.statistics import (
    COLUMNS,
    EVER,
    HOUR,
    KEPT,
    MINUTE,
    PLACE,
    Count,
    Statistics,
    nothing,
    rows_of,
    statistics_of,
)
from outlast.store import (
    LINES,
    MOST_AHEAD,
    ChildRecord,
    Circumstances,
    Depth,
    Glimpse,
    Hand,
    JobFilter,
    Listener,
    LiveJob,
    Pruned,
    QueueRecord,
    Settled,
    WorkerRecord,
)
from outlast.store.rows import attempt_record, glimpse, log_line, outcome_word
from outlast.store.sql_search import Named, Row, SQLSearch

PROMOTED = 1000
"""Due jobs made ready by one claim, at most: the next claim makes the next ones ready."""
_EXPIRED = 1000
"""Jobs expired in one commit, at most."""
_AT_THE_END = {"priority": 1 - 2**31, "run_at": 2**62, "seq": 2**62}
"""A place behind every job in line."""
_PIECE = 500
"""Live jobs read at a time: their arguments may take a megabyte each."""


class Wanted(NamedTuple):
    """What a claim asks for."""

    limit: int
    queues: Collection[str] | None
    """None: all."""
    handed: Collection[str | None]
    """But for these, of which None means all."""
    unknown: Collection[str]
    """Tasks that the worker's code does not know."""
    unfit: Collection[str]
    """Jobs that do not fit it."""
    alone: bool
    """Only those that run alone."""
    now: int

    def of(self, names: Collection[str]) -> list[str]:
        """Of these queues, those that it is for."""
        return [
            name
            for name in names
            if (self.queues is None or name in self.queues) and not is_among(name, self.handed)
        ]


class SQLStore(SQLSearch):
    """Keeps jobs in a database that speaks SQL."""

    @property
    def is_older(self) -> bool:
        return False

    # ---- what the dialects do in their own way

    @abstractmethod
    def announce(self) -> None: ...

    @abstractmethod
    def listener(self) -> Listener | None: ...

    @abstractmethod
    def insert(self, jobs: Sequence[NewJob]) -> None: ...

    @abstractmethod
    def _take(self, worker: str, wanted: Wanted) -> list[Claimed]:
        """Claim from the front of each queue, within a transaction."""

    @abstractmethod
    def _take_one(self, worker: str, job_id: str, now: int) -> list[Claimed]:
        """Claim this job, if nothing but time stands in its way."""

    @abstractmethod
    def _has_suspect(self, wanted: Wanted) -> bool: ...

    @abstractmethod
    def _succeed(self, ends: Sequence[Ended], now: int) -> Iterable[Ending | None]:
        """End all of these at once, and say of each in its order what became of it: None when the fence was lost."""

    @abstractmethod
    def _open_way(self, ids: Sequence[str], now: int) -> list[Row]:
        """Let these jobs go that waited; the state of each that did, and the job behind it."""

    @abstractmethod
    def shut(self) -> None:
        """Let nobody write jobs any more, whoever has the store open: whoever tries is told where they are."""

    @abstractmethod
    def open_up(self) -> None:
        """Undo `shut`."""

    @abstractmethod
    def keep_places(self, top: int) -> None:
        """Give no new job a place up to this one."""

    # ---- commits

    def transaction(self, *, flush: bool = False) -> AbstractContextManager[None]:
        return self._connection.transaction(flush=flush)

    def flush(self) -> None:
        self._connection.flush()

    def close(self) -> None:
        self._connection.close()

    # ---- the receipt

    def unhold(self, server: str, ids: Collection[str] | None = None) -> int:
        parameters = {"server": server, "now": self.clock.now(), "ids": self._list(ids or ())}
        sql = self.SQL["unhold_all" if ids is None else "unhold_some"]
        with self._connection.own_transaction():
            return self._connection.execute(sql, parameters).rowcount

    def holders(self) -> list[tuple[str, int]]:
        return [(server, since) for server, since in self._connection.read(self.SQL["holders"])]

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
            "room": worker.room,
            "unknown": json.dumps(worker.unknown),
            "leaving": int(worker.is_leaving),
            "handed": json.dumps([each.to_message() for each in worker.handed]),
            "engine": worker.engine,
        }
        with self._connection.own_transaction():
            self._connection.execute(self.SQL["enter"], row)

    def renew(self, worker: str, lease: timedelta, *, claimed_at: int | None = None) -> bool:
        until = self.clock.now() + span(lease)
        parameters = {"until": until, "claimed_at": claimed_at, "worker": worker}
        with self._connection.own_transaction():
            return self._connection.execute(self.SQL["renew"], parameters).rowcount == 1

    def report(
        self, worker: str, *, room: int, unknown: Collection[str] = (), is_leaving: bool = False
    ) -> None:
        told = {"room": room, "unknown": json.dumps(sorted(unknown)), "leaving": int(is_leaving)}
        with self._connection.own_transaction():
            self._connection.execute(self.SQL["report"], told | {"worker": worker})

    def show_children(self, worker: str, children: Sequence[ChildRecord]) -> None:
        told = json.dumps([[*astuple(child)] for child in children])
        with self._connection.own_transaction():
            self._connection.execute(
                self.SQL["show_children"], {"worker": worker, "children": told, "now": self.clock.now()}
            )

    def note_depths(self) -> None:
        now = self.clock.now()
        queued: dict[str, int] = defaultdict(int)
        for queue, count in self._connection.read(self.SQL["queued_now"]):
            queued[queue] += count
            queued[""] += count
        with self._connection.own_transaction():
            for queue, count in (queued or {"": 0}).items():
                row = {"minute": now - now % MINUTE, "queue": queue, "queued": count}
                self._connection.execute(self.SQL["note_depth"], row)
            self._connection.execute(self.SQL["prune_depths"], {"before": now - span(KEPT[MINUTE])})

    def leave(self, worker: str) -> bool:
        with self._connection.own_transaction():
            return self._connection.execute(self.SQL["leave"], {"worker": worker}).rowcount == 1

    def workers(self) -> list[WorkerRecord]:
        return [_worker_record(row) for row in self._connection.read(self.SQL["workers"])]

    def claim(
        self,
        worker: str,
        limit: int,
        *,
        queues: Collection[str] | None = None,
        handed: Collection[str | None] = (),
        unknown: Collection[str] = (),
        unfit: Collection[str] = (),
        alone: bool = False,
    ) -> list[Claimed]:
        wanted = Wanted(limit, queues, handed, unknown, unfit, alone, self.clock.now())
        return self._claim(worker, wanted) if limit > 0 else []

    def claim_one(self, worker: str, job_id: str) -> Claimed | None:
        now = self.clock.now()
        with self._connection.own_transaction():
            return next(iter(self._take_one(worker, job_id, now)), None) if self._knows(worker) else None

    def offer(self, handed: Collection[Handed], *, leave: Collection[str] = ()) -> list[Offered]:
        now = self.clock.now()
        if not (self._one(self.SQL["any_to_offer"], {"now": now}) or self._is_one_due(now)):
            return []
        with self._connection.own_transaction():
            self._promote(now)
            return [
                offered
                for each in handed
                for queue in self._queues_of(each)
                if queue not in leave
                for offered in self._offer_from(queue, each, now)
            ]

    def unpublish(self, fences: Collection[tuple[str, int]]) -> None:
        with self._connection.own_transaction():
            for job_id, attempt in fences:
                self._connection.execute(self.SQL["unpublish"], {"id": job_id, "attempt": attempt})

    def entrust(self, job_id: str, attempt: int, until: timedelta, *, note: str) -> None:
        told = {"id": job_id, "attempt": attempt, "until": self.clock.now() + span(until), "note": note}
        with self._connection.own_transaction():
            self._connection.execute(self.SQL["entrust"], told)

    def entrusted(self, queue: str, *, limit: int = 1000) -> list[tuple[str, int, str]]:
        parameters = {"queue": queue, "now": self.clock.now(), "limit": limit}
        return [
            (job_id, attempt, task)
            for job_id, attempt, task in self._connection.read(self.SQL["entrusted"], parameters)
        ]

    def distrust(self, queue: str) -> int:
        with self._connection.own_transaction():
            return self._connection.execute(self.SQL["distrust"], {"queue": queue}).rowcount

    def claim_published(self, worker: str, job_id: str, attempt: int, *, engine: str) -> Claimed | None:
        fence = {"id": job_id, "attempt": attempt}
        with self._connection.own_transaction():
            more = {"worker": worker, "engine": engine, "now": self.clock.now()}
            rows = (
                self._connection.execute(self.SQL["claim_published"], fence | more).fetchall()
                if self._knows(worker)
                else []
            )
            if not rows:  # what must not start now is published again when it may
                self._connection.execute(self.SQL["unpublish"], fence)
                return None
            return Claimed._make(rows[0])

    def suspects(
        self,
        *,
        queues: Collection[str] | None = None,
        handed: Collection[str | None] = (),
        unknown: Collection[str] = (),
        unfit: Collection[str] = (),
    ) -> bool:
        now = self.clock.now()
        if not self._may_claim(now, alone=True):
            return False
        with self._connection.own_transaction():
            self._promote(now)
            return self._has_suspect(Wanted(1, queues, handed, unknown, unfit, True, now))

    def settle(self, ends: Sequence[Ended]) -> list[Settled]:
        now = self.clock.now()
        with self._connection.own_transaction():
            successes = iter(self._succeed([end for end in ends if type(end.outcome) is Succeeded], now))
            return [
                Settled(
                    end.id,
                    end.attempt,
                    next(successes) if type(end.outcome) is Succeeded else self._end_otherwise(end, now),
                )
                for end in ends
            ]

    def keep(self, told: Sequence[Told]) -> None:
        steps = [(each.id, each.attempt, *each.step) for each in told if each.step is not None]
        lines = [(each.id, each.attempt, *line) for each in told for line in each.lines]
        with self._connection.own_transaction():
            if steps:
                self._keep_steps(steps)
            if lines:
                self._keep_lines(lines)
            for each in told:
                if each.lines and (each.attempt > 1 or each.lines[-1].number > LINES):
                    self._connection.execute(self.SQL["trim_lines"], {"job": each.id, "most": LINES})

    def count(self, counts: Sequence[Count]) -> None:
        now = self.clock.now()
        with self._connection.own_transaction():
            for (length, start, task, queue), numbers in rows_of(counts).items():
                named = dict(zip(COLUMNS, numbers, strict=True))
                place = {"length": length, "start": start, "task": task, "queue": queue}
                self._connection.execute(self.SQL["count"], place | named)
            for length, kept in KEPT.items():
                before = {"length": length, "before": now - span(kept)}
                self._connection.execute(self.SQL["prune_statistics"], before)

    def cancels(self, worker: str) -> list[tuple[str, int]]:
        return [
            (job, attempt)
            for job, attempt in self._connection.read(self.SQL["asked_to_cancel"], {"worker": worker})
        ]

    def running(self, worker: str) -> list[tuple[str, int]]:
        return [
            (job, attempt)
            for job, attempt in self._connection.read(self.SQL["running_of"], {"worker": worker})
        ]

    def rescue(self, worker: str, outcome: Outcome = LOST) -> list[Settled]:
        with self._connection.own_transaction():
            rows = self._connection.read(self.SQL["contexts_of"], {"worker": worker})
            known = {job_id: named for job_id, *named in rows}
            settled = self.settle([Ended(*fence, outcome) for fence in self.running(worker)])
            self._connection.execute(self.SQL["forget"], {"worker": worker})
            return [Settled(*each[:3], *known[each.id]) for each in settled]

    def expire(self) -> list[Settled]:
        settled: list[Settled] = []
        while some := self._expire_some():
            settled += some
        return settled

    def next_due(self) -> int | None:
        due: int | None = self._one(self.SQL["next_due"])
        return due

    def next_expiry(self) -> int | None:
        expiry: int | None = self._one(self.SQL["next_expiry"])
        return expiry

    def prune(self, keep: timedelta, *, state: State | None = None, limit: int = 1000) -> Pruned:
        parameters = {"before": self.clock.now() - span(keep), "state": state, "limit": limit}
        with self._connection.own_transaction():
            pruned = self._connection.execute(self.SQL["prune"], parameters).fetchall()
        return _pruned(pruned)

    def files_in_use(self, names: Collection[str]) -> set[str]:
        return {
            name for (name,) in self._connection.read(self.SQL["files_in_use"], {"names": self._list(names)})
        }

    # ---- people

    def circumstances(self, job_id: str) -> Circumstances:
        with self._connection.moment():
            job = self.get(job_id)
            [place] = self._connection.read_named(self.SQL["place"], {"id": job_id})
            return Circumstances(
                job=job,
                now=to_instant(self.clock.now()),
                is_held=bool(place["held"]),
                is_waiting=bool(place["waiting"]),
                before=self._before(job_id, place["seq"]) if place["waiting"] else None,
                is_ready=place["ready"] > 0,
                is_suspect=bool(place["suspect"]),
                is_paused=bool(self._one(self.SQL["is_paused"], {"name": job.queue})),
                in_flight=self._in_flight(job.queue),
                hands=tuple(self._hand(worker, job, place) for worker in self.workers()),
            )

    def attempts(self, job_id: str) -> list[Attempt]:
        return [attempt_record(row) for row in self._connection.read(self.SQL["attempts"], {"job": job_id})]

    def log(self, job_id: str, *, after: tuple[int, int] | None = None, limit: int = LINES) -> list[LogLine]:
        if after is None:
            rows = self._connection.read(self.SQL["last_lines"], {"job": job_id, "limit": limit})[::-1]
        else:
            place = {"job": job_id, "attempt": after[0], "number": after[1], "limit": limit}
            rows = self._connection.read(self.SQL["lines"], place)
        return [log_line(row) for row in rows]

    def watch(self, ids: Collection[str]) -> list[Glimpse]:
        now = self.clock.now()
        rows = self._connection.read_named(self.SQL["watched"], {"ids": self._list(ids)})
        return [glimpse(row, now) for row in rows]

    def statistics(
        self, since: datetime, until: datetime | None = None, *, step: timedelta = timedelta(minutes=1)
    ) -> list[Statistics]:
        micros = span(step)
        if micros <= 0 or micros % MINUTE:
            raise ValueError(f"step={step!r}: give whole minutes, or whole hours")
        length = MINUTE if micros % HOUR else HOUR
        begin = to_micros(since)
        end = self.clock.now() + 1 if until is None else to_micros(until)
        return self._statistics(length, begin - begin % length, end, micros)

    def totals(self) -> list[Statistics]:
        return self._statistics(EVER, 0, 1, 1)

    def _statistics(self, length: int, since: int, until: int, step: int) -> list[Statistics]:
        window = {"length": length, "since": since, "until": until, "step": step}
        rows = self._connection.read(self.SQL["statistics"], window)
        return [
            statistics_of(to_instant(start), task, queue, [int(number) for number in numbers])
            for start, task, queue, *numbers in rows
        ]

    def cancel(self, which: JobFilter) -> list[JobRecord]:
        now = self.clock.now()
        with self._connection.own_transaction(flush=True):
            cancelled = self._change(self.SQL["cancel_queued"], which, State.QUEUED, now)
            asked = self._change(self.SQL["ask_to_cancel"], which, State.RUNNING, now)
            self._let_go_behind([row[1:3] for row in cancelled], now)
            self._count_cancelled([row[3:] for row in cancelled], now)
            touched = tuple(row[0] for row in cancelled + asked)
            return self.find(JobFilter(ids=touched), limit=len(touched))

    def retry(self, which: JobFilter) -> list[str]:
        now = self.clock.now()
        with self._connection.own_transaction(flush=True):
            failed = self._change(self.SQL["retry"], which, State.FAILED, now)
            cancelled = self._change(self.SQL["retry"], which, State.CANCELLED, now)
        return [job_id for (job_id,) in failed + cancelled]

    def delete(self, which: JobFilter) -> Pruned:
        with self._connection.own_transaction(flush=True):
            deleted = self._change(self.SQL["delete"], which, which.state, self.clock.now())
        return _pruned(deleted)

    def copy(self, job_id: str, new_id: str, luggage: str) -> None:
        parameters = {"id": job_id, "new_id": new_id, "luggage": luggage, "now": self.clock.now()}
        with self._connection.own_transaction(flush=True):
            if not self._connection.execute(self.SQL["copy"], parameters).rowcount:
                self.get(job_id)

    def queues(self) -> list[QueueRecord]:
        paused: dict[str, int | None] = {}
        sums: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
        for name, paused_at, *counted in self._connection.read(self.SQL["queues"]):
            paused[name] = paused.get(name) or paused_at
            sums[name] = [total + more for total, more in zip(sums[name], counted, strict=True)]
        return [_queue_record(name, paused[name], *sums[name]) for name in sorted(sums)]

    def past_depths(
        self, since: datetime, *, step: timedelta = timedelta(minutes=1), queue: str = ""
    ) -> dict[datetime, int]:
        parameters = {"since": to_micros(since), "step": span(step), "queue": queue}
        return {
            to_instant(start): queued
            for start, queued in self._connection.read(self.SQL["past_depths"], parameters)
        }

    def pause(self, queue: str) -> None:
        with self._connection.own_transaction(flush=True):
            self._connection.execute(self.SQL["pause"], {"name": queue, "now": self.clock.now()})

    def resume(self, queue: str) -> bool:
        with self._connection.own_transaction(flush=True):
            return self._connection.execute(self.SQL["resume"], {"name": queue}).rowcount == 1

    def ids_like(self, part: str, *, limit: int = 10) -> list[str]:
        found = self._connection.read(self.SQL["ids_like"], {"part": part, "limit": limit})
        return [job_id for (job_id,) in found]

    def oldest_ready(self) -> JobRecord | None:
        oldest = self._one(self.SQL["oldest_ready"], {"now": self.clock.now()})
        return None if oldest is None else self.get(oldest)

    def live(self) -> Iterator[LiveJob]:
        """Piece by piece: one long read would keep the log from being copied back. Places take eight bytes each."""
        places = array("q", (seq for (seq,) in self._connection.stream(self.SQL["live_places"])))
        for start in range(0, len(places), _PIECE):
            piece = {"places": self._list(places[start : start + _PIECE].tolist())}
            for job_id, task, luggage, is_running in self._connection.read(self.SQL["live"], piece):
                yield LiveJob(job_id, task, luggage, bool(is_running))

    def depths(self) -> list[Depth]:
        jobs: dict[tuple[str, str], int] = defaultdict(int)
        oldest: dict[str, int] = {}
        paused: set[str] = set()
        for queue, view, count, due in self._connection.read(self.SQL["depths"], {"now": self.clock.now()}):
            if view is None:
                paused.add(queue)
            jobs[queue, view or "ready"] += count
            if view == "ready":
                oldest[queue] = min(due, oldest.get(queue, due))
        return [
            Depth(
                queue=queue,
                view=view,
                jobs=count,
                oldest=to_instant(oldest[queue]) if view == "ready" and queue in oldest else None,
                is_paused=queue in paused,
            )
            for (queue, view), count in sorted(jobs.items())
        ]

    def counts(self) -> dict[str, int]:
        now = {"now": self.clock.now()}
        (row,) = self._connection.read(self.SQL["counts"], now)
        published = self._count_published(now)
        ready, held, waiting, due, scheduled, retrying, running, finished, failed, cancelled = row
        return {
            "scheduled": scheduled,
            "retrying": retrying,
            "waiting": waiting,
            "held": held,
            "published": published,
            "ready": ready + due - published,
            "running": running,
            "succeeded": finished - failed - cancelled,
            "failed": failed,
            "cancelled": cancelled,
        }

    # ---- for who moves it to another store: `outlast.store.moving`

    def facts(self) -> dict[str, str]:
        """What it knows of itself."""
        return {name: value for name, value in self._connection.read(self.SQL["facts"])}  # noqa: C416

    def one(self, name: str, /, **parameters: Any) -> Any:
        """What a statement, by its name, finds: one value."""
        return self._one(self.SQL[name], parameters)

    def rows(self, name: str, /, **parameters: Any) -> list[Row]:
        return self._connection.read(self.SQL[name], parameters)

    def named_rows(self, name: str, /, **parameters: Any) -> list[dict[str, Any]]:
        return self._connection.read_named(self.SQL[name], parameters)

    def run(self, name: str, /, **parameters: Any) -> None:
        self._connection.execute(self.SQL[name], parameters)

    def load(self, table: str, rows: Sequence[Named]) -> None:
        """Write rows as they are, all of the same columns, within a transaction."""
        if rows:
            self._connection.load(table, rows)

    def _count_published(self, now: Named) -> int:
        """None in a store whose schema is older than that."""
        try:
            count: int = self._one(self.SQL["count_published"], now)
        except StoreError:
            return 0
        return count

    # ---- what surrounds a job, in steps

    def _before(self, job_id: str, seq: int) -> JobRecord | None:
        """Those that ended while they waited let nobody go before their turn."""
        while rows := self._connection.read(self.SQL["job_before"], {"id": job_id, "seq": seq}):
            seq, job_id = rows[0]
            job = self.get(job_id)
            if not job.state.ended:
                return job
        return None

    def _hand(self, worker: WorkerRecord, job: JobRecord, place: Mapping[str, Any]) -> Hand:
        return Hand(
            worker=worker,
            running=self._one(self.SQL["count_running"], {"worker": worker.id}),
            ahead=self._ahead(worker, job, place),
        )

    def _ahead(self, worker: WorkerRecord, job: JobRecord, place: Mapping[str, Any]) -> int:
        if worker.hands_over(job.queue):
            return self._ahead_to_offer(job.queue, place)
        if not _would_take(worker, job):
            return 0
        handed = [each.queue for each in worker.handed]
        return self._count_ahead(place, worker.queues, handed=handed, unknown=worker.unknown)

    def _ahead_to_offer(self, queue: str, place: Mapping[str, Any]) -> int:
        """Suspects are offered after all others."""
        count = self._count_ahead(place, [queue])
        if place["suspect"]:
            count += self._count_ahead({**_AT_THE_END, "suspect": False}, [queue])
        return min(count, MOST_AHEAD)

    def _count_ahead(
        self,
        place: Mapping[str, Any],
        queues: Collection[str] | None,
        *,
        handed: Collection[str | None] = (),
        unknown: Collection[str] = (),
    ) -> int:
        count: int = self._one(
            self._ready_sql("ahead", alone=bool(place["suspect"])),
            {
                **{name: place[name] for name in _AT_THE_END},
                "queues": self._list(queues),
                "handed": self._list(handed),
                "unknown": self._list(unknown),
                "now": self.clock.now(),
                "most": MOST_AHEAD,
            },
        )
        return count

    # ---- claiming, in steps

    def _claim(self, worker: str, wanted: Wanted) -> list[Claimed]:
        if not self._may_claim(wanted.now, wanted.alone):
            return []
        with self._connection.own_transaction():
            if not self._knows(worker):
                return []
            self._promote(wanted.now)
            return self._take(worker, wanted)

    def _may_claim(self, now: int, alone: bool) -> bool:
        """A look without the writer's lock: an idle worker must not make servers wait."""
        return self._one(self._ready_sql("any_ready", alone=alone)) == 1 or self._is_one_due(now)

    def _knows(self, worker: str) -> bool:
        """Whoever rescues looks through the known workers: what any other claimed would be lost with it."""
        return self._one(self.SQL["knows_worker"], {"worker": worker}) is not None

    def _promote(self, now: int) -> None:
        if self._is_one_due(now):
            self._connection.execute(self.SQL["promote"], {"now": now, "limit": PROMOTED})

    def _is_one_due(self, now: int) -> bool:
        due = self.next_due()
        return due is not None and due <= now

    def _open_queues(self, wanted: Wanted) -> list[str]:
        """The queues to serve that have a job to give and are not paused."""
        return wanted.of(self._queues_with_ready(alone=wanted.alone))

    def _queues_with_ready(self, *, alone: bool) -> list[str]:
        return [name for (name,) in self._connection.read(self._ready_sql("queues_with_ready", alone=alone))]

    # ---- offering, in steps

    def _queues_of(self, handed: Handed) -> list[str]:
        """Those with something to publish, suspects too."""
        names = {*self._queues_with_ready(alone=False), *self._queues_with_ready(alone=True)}
        return sorted(name for name in names if handed.queue in (None, name))

    def _offer_from(self, queue: str, handed: Handed, now: int) -> list[Offered]:
        room = handed.in_flight - self._in_flight(queue)
        told = {"queue": queue, "now": now, "engine": handed.engine, "lease": span(handed.lease)}
        rows: list[Row] = []
        for alone in (False, True):
            if len(rows) < room:
                sql = self._ready_sql("offer", alone=alone)
                rows += self._connection.execute(sql, told | {"limit": room - len(rows)}).fetchall()
        return [Offered._make(row[3:]) for row in sorted(rows, key=lambda row: row[:3])]

    # ---- what is told and counted, in steps

    @abstractmethod
    def _keep_steps(self, steps: Sequence[Row]) -> None:
        """Write how far attempts are: id, attempt, and the fields of a Step."""

    @abstractmethod
    def _keep_lines(self, lines: Sequence[Row]) -> None:
        """Write lines of logs: id, attempt, and the fields of a Line."""

    def _count_cancelled(self, jobs: Sequence[Row], now: int) -> None:
        """No worker sees a queued job end."""
        counts: dict[Row, Count] = {}
        for task, queue in jobs:
            count = counts.setdefault((task, queue), Count(now - now % MINUTE, task, queue, nothing()))
            count.numbers[PLACE["cancelled"]] += 1
        if counts:
            self.count([*counts.values()])

    # ---- endings, in steps

    def _keep_more(self, end: Ended) -> None:
        """What few successes have: a result that lies in a file, and jobs that the task added, there only now."""
        if end.outcome is SUCCEEDED or not isinstance(end.outcome, Succeeded):
            return
        if end.outcome.file is not None:
            self._connection.execute(self.SQL["keep_file"], {"file": end.outcome.file, "id": end.id})
        if end.outcome.added:
            owner = self._one(self.SQL["owner_of"], {"id": end.id})
            self.insert([job if job.owner else job._replace(owner=owner) for job in end.outcome.added])

    def _end_otherwise(self, end: Ended, now: int) -> Ending | None:
        """None when the fence was lost."""
        rows = self._connection.read(self.SQL["standing"], {"id": end.id, "attempt": end.attempt})
        if not rows:
            return None
        *standing, run_at, worker, started_at, _, behind = rows[0]
        ending = lifecycle.ending(Standing(*standing), end.outcome, self._dice())
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
        self._connection.execute(
            self.SQL["end"],
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
        self._connection.execute(
            self.SQL["keep_attempt"],
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

    def _let_go(self, ids: Sequence[str], now: int) -> None:
        """Let jobs start that waited; and those behind them, if they were cancelled or expired while they waited."""
        while ids:
            gone = self._open_way(ids, now)
            ids = [behind for state, behind in gone if behind is not None and State(state).ended]

    def _expire_some(self) -> list[Settled]:
        now = self.clock.now()
        if not self._connection.read(self.SQL["overdue"], {"now": now, "limit": 1}):
            return []
        with self._connection.own_transaction():
            overdue = self._connection.read(self.SQL["overdue"], {"now": now, "limit": _EXPIRED})
            return [self._expire(row, now) for row in overdue]

    def _expire(self, row: tuple[Any, ...], now: int) -> Settled:
        seq, job_id, attempt, context, task, queue, *standing = row
        ending = lifecycle.expiry(*standing)
        parameters = {"now": now, "reason": ending.reason, "error": ending.error, "seq": seq}
        changed = self._connection.execute(self.SQL["expire"], parameters)
        self._let_go_behind(changed.fetchall(), now)
        return Settled(job_id, attempt, ending, context, task, queue)

    def _let_go_behind(self, ended: Iterable[tuple[int, str | None]], now: int) -> None:
        """What lies behind jobs that ended while queued. Behind one that itself waited, `_let_go` comes by later."""
        self._let_go([behind for waiting, behind in ended if not waiting and behind is not None], now)

    # ---- small reads and writes

    def _in_flight(self, queue: str) -> int:
        count: int = self._one(self.SQL["in_flight"], {"queue": queue, "now": self.clock.now()})
        return count

    def _change(self, sql: str, which: JobFilter, state: State | None, now: int) -> list[tuple[Any, ...]]:
        """Change the jobs that match and are in this state."""
        if which.state not in (None, state):
            return []
        conditions, parameters = self._conditions(which, state)
        return self._connection.execute(
            sql.replace("{which}", conditions), parameters | {"now": now}
        ).fetchall()

    def _ready_sql(self, name: str, *, alone: bool) -> str:
        return _of_ready(self.SQL[name], alone)


def _ready(alone: bool) -> int:
    """The value of the column `ready` for a job that may be claimed now: on its own only, if it is under suspicion."""
    return 2 if alone else 1


@cache
def _of_ready(sql: str, alone: bool) -> str:
    return sql.replace("{ready}", str(_ready(alone)))


def _would_take(worker: WorkerRecord, job: JobRecord) -> bool:
    return job.state is State.QUEUED and worker.serves(job.queue) and job.task not in worker.unknown


def is_ready_at_once(job: NewJob) -> bool:
    """Whatever the clock says now: one that jumps back delays only what was meant to be delayed."""
    return job.waiting == 0 and job.held_by is None and job.run_at <= job.created_at


def success_of(failures: int, result: str | None) -> Ending:
    return (
        replace(_plain_success(failures), result=result) if result is not None else _plain_success(failures)
    )


@cache
def _plain_success(failures: int) -> Ending:
    """Made once: most successes are alike."""
    return lifecycle.ending(Standing(failures, 1, 0, 0, None, False, False), Succeeded(), 0.0)


def result_of(end: Ended) -> str | None:
    return end.outcome.result if isinstance(end.outcome, Succeeded) else None


def _keeps_its_place(outcome: Outcome) -> bool:
    """Handed back unharmed, a job does not go behind those that came after it."""
    return isinstance(outcome, Released | Lost)


def _storable(text: str | None) -> str | None:
    """An error may quote a file name that is no Unicode; the database keeps only what is."""
    return None if text is None else text.encode("utf-8", "backslashreplace").decode("utf-8")


def _pruned(rows: list[Row]) -> Pruned:
    return Pruned(len(rows), [name for (files,) in rows if files for name in json.loads(files)])


def _child_record(pid: int, standing: str, memory: int | None, jobs: int, job_ids: list[str]) -> ChildRecord:
    return ChildRecord(pid=pid, standing=standing, memory=memory, jobs=jobs, job_ids=tuple(job_ids))


def _worker_record(row: tuple[Any, ...]) -> WorkerRecord:
    (
        worker,
        host,
        premises,
        pid,
        queues,
        slots,
        started_at,
        lease_until,
        room,
        unknown,
        leaving,
        claimed_at,
        children,
        seen_at,
        handed,
        engine,
    ) = row
    served = json.loads(queues)
    return WorkerRecord(
        id=worker,
        host=host,
        premises=premises,
        pid=pid,
        queues=None if served is None else tuple(served),
        slots=slots,
        started_at=to_instant(started_at),
        lease_until=to_instant(lease_until),
        room=room,
        unknown=tuple(json.loads(unknown)),
        is_leaving=bool(leaving),
        claimed_at=None if claimed_at is None else to_instant(claimed_at),
        children=tuple(_child_record(*child) for child in json.loads(children)),
        seen_at=None if seen_at is None else to_instant(seen_at),
        handed=tuple(map(Handed.from_message, json.loads(handed))),
        engine=engine,
    )


def _queue_record(name: str, paused_at: int | None, queued: int, running: int, failed: int) -> QueueRecord:
    return QueueRecord(
        name=name,
        paused_at=None if paused_at is None else to_instant(paused_at),
        queued=queued,
        running=running,
        failed=failed,
    )
