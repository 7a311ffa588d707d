"""What happens in a worker, worded in one place: one log line an event, by the standard `logging`.

A line that speaks of a job has its id, task and attempt, and the id of its request; the end of an attempt also has its
duration.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Protocol

from outlast import request_id
from outlast.address import shown
from outlast.clock import steady
from outlast.job import Claimed, State
from outlast.lifecycle import Ending
from outlast.options import NO_OPTIONS
from outlast.store import Settled
from outlast.worker.children import InChild
from outlast.worker.settings import Settings, cores

_log = logging.getLogger("outlast.worker")
_jobs = logging.getLogger("outlast.jobs")


def worker_started(worker: str, settings: Settings) -> None:
    _log.info(
        "worker started: app %s, store %s, queues %s, %d children of %d slots each (%d cores), %d attempts unless a "
        "task says otherwise, grace %s, ended jobs kept for %s; worker=%s",
        settings.target.name,
        shown(settings.url),
        ", ".join(settings.queues) if settings.queues else "all",
        settings.children,
        settings.slots,
        cores(),
        NO_OPTIONS.attempts,
        _words(settings.grace),
        _words(settings.retention),
        worker,
    )
    for handed in settings.handed:
        _log.info("jobs of %s are run by %s", handed.queue or "every queue", handed.engine)


def _words(duration: timedelta) -> str:
    """In the largest unit that leaves no rest."""
    for unit, name in ((86_400, "days"), (3_600, "hours"), (60, "minutes")):
        if duration and duration % timedelta(seconds=unit) == timedelta(0):
            return f"{duration // timedelta(seconds=unit)} {name}"
    return f"{duration.total_seconds():g} s"


def broker_failed(queue: str, why: str, pause: float) -> None:
    _log.error(
        "jobs of queue %s cannot be published: %s; trying again in %g s. They wait in the store, and none is lost",
        queue,
        why,
        pause,
    )


def broker_is_back(queue: str) -> None:
    _log.info("jobs of queue %s are published again", queue)


def worker_leaving(worker: str, running: int, grace: timedelta) -> None:
    _log.info(
        "worker leaving: %d jobs may finish within %g s; worker=%s", running, grace.total_seconds(), worker
    )


def worker_left(worker: str) -> None:
    _log.info("worker left; worker=%s", worker)


def left_unsettled(jobs: int) -> None:
    _log.error(
        "left with %d attempts unsettled, because the store failed; their jobs are rescued and run again",
        jobs,
    )


def lease_lost(worker: str, jobs: int) -> None:
    _log.error(
        "lease lost: ended %d running jobs, which start again; beginning anew; worker=%s", jobs, worker
    )


def files_swept(names: list[str]) -> None:
    if names:
        _log.info("deleted %d stored files that no job uses any more", len(names))


def sweep_failed(error: Exception) -> None:
    _log.warning(
        "stored files could not be looked through for what no job uses any more: %s: %s; trying again later",
        type(error).__name__,
        error,
    )


def clock_jumped(seconds: float) -> None:
    _log.warning(
        "the clock was set by %+.1f s: delays, expiry and retention go by the new time; running jobs, timeouts and "
        "leases do not, and nothing is lost. If it was not meant to, check the machine's time service",
        seconds,
    )


def stranger_sent_away(error: Exception) -> None:
    _log.warning(
        "a server of another version of Outlast was sent away (%s); it writes its jobs by itself, which is slower; "
        "restart what is older",
        error,
    )


def store_failed(error: Exception) -> None:
    _log.error("store failed: %s", error)


def not_kept(job: str, error: Exception) -> None:
    _log.warning("progress and log lines not kept id=%s: %s: %s", job, type(error).__name__, error)


def window_opened(address: Any) -> None:
    _log.info("metrics and health: http://%s:%d/metrics and /healthz", *address[:2])


def store_still_fails(error: Exception, seconds: float) -> None:
    _log.error("store still fails after %.0f s: %s", seconds, error)


def store_is_back(seconds: float) -> None:
    _log.warning("store is back after %.1f s", seconds)


def child_cannot_start(traceback: str, pause: float) -> None:
    _log.error(
        "the app does not start in the worker, which tries again in %g s:\n%s", pause, traceback.rstrip()
    )


def child_failed(pid: int, traceback: str) -> None:
    _log.error(
        "child %d ended with an error, in the app's lifespan or its loop:\n%s", pid, traceback.rstrip()
    )


def child_died(pid: int, death: str, *, was_ready: bool) -> None:
    when = "" if was_ready else " before it was ready"
    _log.error("child %d %s%s; starting another", pid, death, when)


def child_is_stuck(pid: int, jobs: int, *, is_replaced: bool) -> None:
    then = "replacing it" if is_replaced else "ending it"
    _log.warning("child %d is stuck in a task that cannot be stopped; %s (%d jobs in it)", pid, then, jobs)


def process_is_stuck(pid: int, jobs: int) -> None:
    _log.warning(
        "process %d is stuck in a task that cannot be stopped; ending it (%d jobs in it, which start again)",
        pid,
        jobs,
    )


def task_unknown(task: str, why: str) -> None:
    _log.warning("unknown task %s: %s; its jobs wait for a worker that has it", task, why)


def orphans_live(worker: str) -> None:
    _log.warning("children of the dead worker %s still live; its jobs wait until they are gone", worker)


def rescued(worker: str, jobs: Sequence[Settled]) -> None:
    if jobs:
        _log.warning("rescued %d jobs of the dead worker %s", len(jobs), worker)
    for job in jobs:
        _jobs.info("rescued id=%s attempt=%d%s", job.id, job.attempt, request_id.told(job.context))


def crashed(jobs: Sequence[Settled]) -> None:
    """With a process of an engine's command, which itself lives on."""
    for job in jobs:
        if job.ending is not None:
            _jobs.log(
                _level(job.ending),
                "%s id=%s task=%s attempt=%d%s%s",
                _word(job.ending),
                job.id,
                job.task,
                job.attempt,
                request_id.told(job.context),
                _detail(job.ending),
            )


def unheld(server: str, jobs: int) -> None:
    if jobs:
        _log.warning(
            "%d jobs let go whose server died before its request had unwound; "
            "data it was about to commit may be missing; server=%s",
            jobs,
            server,
        )


def expired(jobs: Sequence[Settled]) -> None:
    for job in jobs:
        _jobs.warning("expired id=%s attempt=%d%s", job.id, job.attempt, request_id.told(job.context))


def attempt_started(running: InChild) -> None:
    if _jobs.isEnabledFor(logging.DEBUG):
        job = running.job
        _jobs.debug(
            "started id=%s task=%s attempt=%d child=%d%s",
            job.id,
            job.task,
            job.attempt,
            running.child.pid,
            request_id.told(job.context),
        )


class Begun(Protocol):
    """An attempt that was under way, since when by the steady clock."""

    @property
    def job(self) -> Claimed: ...

    @property
    def since(self) -> float: ...


def attempt_ended(running: Begun, settled: Settled) -> None:
    """Successes are told at DEBUG, everything else louder."""
    ending = settled.ending
    level = _level(ending)
    if not _jobs.isEnabledFor(level):
        return
    job = running.job
    seconds = steady() - running.since
    _jobs.log(
        level,
        "%s id=%s task=%s attempt=%d duration=%.3fs%s%s",
        _word(ending),
        job.id,
        job.task,
        job.attempt,
        seconds,
        request_id.told(job.context),
        _detail(ending),
    )
    if ending is not None and ending.traceback:
        _jobs.log(level, "%s", ending.traceback.rstrip())


def _level(ending: Ending | None) -> int:
    if ending is None or ending.state is State.FAILED:
        return logging.ERROR
    if ending.state is State.SUCCEEDED:
        return logging.DEBUG
    return logging.WARNING if ending.error else logging.INFO


def _word(ending: Ending | None) -> str:
    if ending is None:
        return "not counted (another attempt has begun, or the job has ended)"
    if ending.state is State.QUEUED:
        return "retrying" if ending.error else "put back"
    return str(ending.state)


def _detail(ending: Ending | None) -> str:
    if ending is None:
        return ""
    parts = []
    if ending.reason is not None:
        parts.append(f"reason={ending.reason}")
    if ending.error:
        parts.append(f"error={ending.error!r}")
    if ending.state is State.QUEUED:
        parts.append(f"again_in={ending.wait / 1e6:.3g}s")
    if ending.note:
        parts.append(f"note={ending.note!r}")
    return "".join(f" {part}" for part in parts)
