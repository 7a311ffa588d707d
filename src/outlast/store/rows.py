"""From rows to records: what every store does alike once its database has answered."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from outlast.clock import to_instant
from outlast.handed import message_id
from outlast.job import Attempt, JobRecord, LogLine, Outcome, Progress, Reason, State
from outlast.store import Glimpse


def job_record(row: Mapping[str, Any], now: int) -> JobRecord:
    """A job, by the names of its columns. `now` (µs) tells what is ahead from what is due."""
    return JobRecord(
        id=row["id"],
        task=row["task"],
        queue=row["queue"],
        priority=row["priority"],
        state=State(row["state"]),
        view=view_of(row, now),
        attempt=row["attempt"],
        failures=row["failures"],
        max_attempts=row["max_attempts"],
        created_at=to_instant(row["created_at"]),
        run_at=to_instant(row["run_at"]),
        expires_at=_instant(row["expires_at"]),
        timeout=None if row["timeout"] is None else timedelta(microseconds=row["timeout"]),
        started_at=_instant(row["started_at"]),
        finished_at=_instant(row["finished_at"]),
        cancel_requested_at=_instant(row["cancel_requested_at"]),
        worker=row["worker"],
        result=row["result"],
        reason=None if row["reason"] is None else Reason(row["reason"]),
        error=row["error"],
        note=row["note"],
        luggage=row["luggage"],
        owner=row["owner"],
        progress=progress_record(row),
        engine=row["engine"],
        engine_id=_engine_id(row),
        published_at=_instant(row["published_at"]) if row["engine"] else None,
        published_until=_instant(row["published_until"]),
    )


def progress_record(row: Mapping[str, Any]) -> Progress | None:
    """What the latest attempt of a job said of itself, by the names of its columns."""
    if row["told_at"] is None:
        return None
    return Progress(done=row["done"], total=row["total"], note=row["doing"], at=to_instant(row["told_at"]))


def glimpse(row: Mapping[str, Any], now: int) -> Glimpse:
    """A job that is being watched, by the names of its columns."""
    line = row["line_attempt"]
    return Glimpse(
        id=row["id"],
        state=State(row["state"]),
        view=view_of(row, now),
        attempt=row["attempt"],
        progress=progress_record(row),
        last_line=None if line is None else (line, row["line_number"]),
    )


def log_line(row: Sequence[Any]) -> LogLine:
    """A line of a job's log, in the order of its columns."""
    attempt, number, at, level, logger, text = row
    return LogLine(attempt=attempt, number=number, at=to_instant(at), level=level, logger=logger, text=text)


def attempt_record(row: Sequence[Any]) -> Attempt:
    """An attempt that did not succeed, in the order of its columns."""
    job_id, attempt, outcome, error, traceback, worker, started_at, ended_at = row
    return Attempt(
        job_id=job_id,
        attempt=attempt,
        outcome=outcome,
        error=error,
        traceback=traceback,
        worker=worker,
        started_at=_instant(started_at),
        ended_at=to_instant(ended_at),
    )


def outcome_word(outcome: Outcome) -> str:
    """What an attempt came to, as people are told it: erred, timed out, crashed, …"""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(outcome).__name__).lower()


def view_of(row: Mapping[str, Any], now: int) -> str:
    """The finer word for the state of a job."""
    if row["state"] == "running":
        return "cancelling" if row["cancel_requested_at"] is not None else "running"
    if row["state"] != "queued":
        return str(row["state"])
    if row["held_by"] is not None:
        return "held"
    if row["waiting"]:
        return "waiting"
    if (row["published_until"] or 0) > now:
        return "published"
    if row["ready"] or row["run_at"] <= now:
        return "queued"
    return "retrying" if row["failures"] else "scheduled"


def _engine_id(row: Mapping[str, Any]) -> str | None:
    """Of the message that is under way, or of the one that the last attempt came by."""
    attempt = row["attempt"] + (row["published_until"] is not None)
    return message_id(row["id"], attempt) if row["engine"] and attempt else None


def _instant(micros: int | None) -> datetime | None:
    return None if micros is None else to_instant(micros)
