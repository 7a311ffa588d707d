"""The records of a store as programs read them, and the arguments of a job as people do. The keys are documented."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime
from typing import Any

from outlast.cli.printing import size
from outlast.job import Attempt, JobRecord
from outlast.store import QueueRecord, WorkerRecord

_LONGEST = 2000
"""Characters of one argument or result that people are shown."""


# ---- for programs ----------------------------------------------------------------------------------------------------


def job_fields(job: JobRecord) -> dict[str, Any]:
    """Everything of a job. `arguments` and `result` are JSON as it is stored, with "$" where JSON has no such kind."""
    fields = asdict(job)
    fields["arguments"] = _carried(fields.pop("luggage"))
    fields["result"] = None if job.result is None else _parsed(job.result)
    return fields


def attempt_fields(attempt: Attempt) -> dict[str, Any]:
    fields = asdict(attempt)
    del fields["job_id"]
    return fields


def queue_fields(queue: QueueRecord) -> dict[str, Any]:
    return asdict(queue)


def worker_fields(worker: WorkerRecord, *, is_alive: bool) -> dict[str, Any]:
    return {**asdict(worker), "alive": is_alive}


def _carried(luggage: str) -> Any:
    """Without the checksum of the annotations, which is no argument."""
    parsed = _parsed(luggage)
    if isinstance(parsed, dict):
        parsed.pop("@", None)
    return parsed


def _parsed(text: str) -> Any:
    """A row that somebody damaged is shown as it is."""
    try:
        return json.loads(text)
    except ValueError:
        return text


# ---- for people ------------------------------------------------------------------------------------------------------


def arguments(job: JobRecord) -> list[tuple[str, str]]:
    """Its arguments by name; those that went into `*args` together."""
    carried = _carried(job.luggage)
    if not isinstance(carried, dict):
        return [("?", _cut(str(carried)))]
    if "$" in carried:  # what stands for them, as they could not be read
        return [("?", readable(carried))]
    return [(name.removeprefix("**"), readable(value)) for name, value in carried.items()]


def readable(value: Any) -> str:
    """A value as a person would write it: `{"$": ["date", "2026-01-01"]}` is `date('2026-01-01')`."""
    return _cut(_written(value))


def result(job: JobRecord) -> str:
    """What the task returned."""
    return "None" if job.result is None else readable(_parsed(job.result))


def _written(value: Any) -> str:
    if isinstance(value, dict):
        kind = value.get("$")
        if isinstance(kind, list) and kind:
            return _tagged(str(kind[0]), kind[1:])
        return "{" + ", ".join(f"{key!r}: {_written(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_written, value)) + "]"
    return repr(value)


def _tagged(kind: str, payload: list[Any]) -> str:
    """A file is told by its name, type and size.

    An instance begins with the name of its class; a checksum of the fields may stand before them.
    """
    if kind == "file" and len(payload) == 4:
        return _file(*payload[1:])
    if kind == "stored" and len(payload) == 2:
        return f"({size(payload[1])} in the stored file {payload[0]})"
    if len(payload) > 1 and isinstance(payload[0], str) and ":" in payload[0]:
        kind, payload = payload[0].partition(":")[2], payload[1:]
        payload = payload[1:] if len(payload) > 1 and isinstance(payload[0], int) else payload
    if len(payload) == 1 and isinstance(payload[0], dict) and "$" not in payload[0]:
        return f"{kind}({', '.join(f'{key}={_written(item)}' for key, item in payload[0].items())})"
    return f"{kind}({', '.join(map(_written, payload))})"


def _file(filename: Any, headers: Any, length: int) -> str:
    types = [value for key, value in headers if key.lower() == "content-type"]
    return f"file({', '.join([_written(filename), *types, size(length)])})"


def _cut(text: str) -> str:
    if len(text) <= _LONGEST:
        return text
    return f"{text[:_LONGEST]} … ({len(text):,} characters in all; --json prints them)"


def when(job: JobRecord, now: datetime) -> str:
    """The one time that matters of a job in its state."""
    from outlast.cli.printing import since, span

    if job.finished_at is not None:
        return since(job.finished_at, now)
    if job.started_at is not None and job.state == "running":
        return f"for {span(now - job.started_at)}"
    if job.view in ("scheduled", "retrying"):
        return since(job.run_at, now)
    return f"waits {span(now - job.created_at)}"


def queues_of(worker: WorkerRecord) -> str:
    """The queues that a worker serves or hands over, or whose process it is."""
    if worker.engine is not None:
        return f"of {worker.engine}"
    handed = [f"{each.queue or 'all'} by {each.engine}" for each in worker.handed]
    if worker.queues is not None:
        return ",".join([*worker.queues, *handed])
    return ",".join(handed if any(each.queue is None for each in worker.handed) else ["all", *handed])
