"""The records of a store as programs read them, and when a job ran, for people. The keys are documented."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any

from outlast.job import Attempt, JobRecord
from outlast.store import QueueRecord, WorkerRecord
from outlast.wording import carried, parsed, since, span

# ---- for programs ----------------------------------------------------------------------------------------------------


def job_fields(job: JobRecord) -> dict[str, Any]:
    """Everything of a job. `arguments` and `result` are JSON as it is stored, with "$" where JSON has no such kind."""
    fields = asdict(job)
    fields["arguments"] = carried(fields.pop("luggage"))
    fields["result"] = None if job.result is None else parsed(job.result)
    return fields


def attempt_fields(attempt: Attempt) -> dict[str, Any]:
    fields = asdict(attempt)
    del fields["job_id"]
    return fields


def queue_fields(queue: QueueRecord) -> dict[str, Any]:
    return asdict(queue)


def worker_fields(worker: WorkerRecord, *, is_alive: bool) -> dict[str, Any]:
    return {**asdict(worker), "alive": is_alive}


# ---- for people ------------------------------------------------------------------------------------------------------


def when(job: JobRecord, now: datetime) -> str:
    """The one time that matters of a job in its state."""
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
