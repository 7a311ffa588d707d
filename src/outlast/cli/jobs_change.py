"""`outlast jobs retry` and `outlast jobs cancel`: of jobs named one by one, or of all that match."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from outlast.cli.ask import MANY, ask_before
from outlast.cli.exits import NOT_FOUND, NOT_SO, UNUSABLE, Failure, complain
from outlast.cli.options import (
    DEFAULT_STORE,
    IdArguments,
    JsonOption,
    QueueOption,
    StateName,
    StoreOption,
    TaskOption,
    YesOption,
    same_store,
    which_jobs,
)
from outlast.cli.printing import hint, print_json, say
from outlast.wording import counted, short_id

if TYPE_CHECKING:
    from outlast.job import JobRecord
    from outlast.store import JobFilter, Store


# ---- retry -----------------------------------------------------------------------------------------------------------


def retry(
    *,
    ids: IdArguments = None,
    failed: Annotated[bool, typer.Option("--failed", help="All failed jobs.")] = False,
    cancelled: Annotated[bool, typer.Option("--cancelled", help="All cancelled jobs.")] = False,
    every: Annotated[bool, typer.Option("--all", help="All failed and all cancelled jobs.")] = False,
    queue: QueueOption = None,
    task: TaskOption = None,
    yes: YesOption = False,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Queue failed and cancelled jobs again, with a clean sheet of failures.

    Example: outlast jobs retry 5f3a9c0b12de

    Example: outlast jobs retry --failed --queue mail
    """
    from outlast.cli.stores import opened, ring

    states = [StateName.FAILED] * (failed or every) + [StateName.CANCELLED] * (cancelled or every)
    _require_one_way(ids, bool(states), "--failed, --cancelled or --all", queue, task)
    with opened(store) as open_store:
        if ids:
            named = _Named(open_store, ids)
            retried = open_store.retry(which_jobs(ids=named.ids))
            named.explain(retried, "cannot be retried; only failed and cancelled jobs can")
            code = named.code
        else:
            filters = [which_jobs(state=state, queue=queue, task=task) for state in states]
            ask_before("Retry", _matching(open_store, filters), yes=yes, as_json=as_json)
            retried, code = [job_id for which in filters for job_id in open_store.retry(which)], 0
        ring(open_store)
    if as_json:
        print_json({"retried": retried})
    else:
        _tell_retried(retried, is_one_named=bool(ids), suffix=same_store(store))
    raise typer.Exit(code)


def _tell_retried(retried: list[str], *, is_one_named: bool, suffix: str) -> None:
    if not retried:
        if not is_one_named:
            say("No jobs match; nothing was retried.")
        return
    say(f"Queued again: {retried[0] if len(retried) == 1 else counted(len(retried), 'job')}.")
    if len(retried) <= 3:
        hint(f"Wait for it: outlast jobs wait {' '.join(short_id(job_id) for job_id in retried)}{suffix}")
    else:
        hint(f"Watch them: outlast stats{suffix}")


# ---- cancel ----------------------------------------------------------------------------------------------------------


def cancel(
    *,
    ids: IdArguments = None,
    every: Annotated[bool, typer.Option("--all", help="All queued and running jobs.")] = False,
    queue: QueueOption = None,
    task: TaskOption = None,
    yes: YesOption = False,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Cancel queued jobs at once, and ask running ones to stop.

    Example: outlast jobs cancel 5f3a9c0b12de

    Example: outlast jobs cancel --task main:report
    """
    from outlast.cli.stores import opened, ring

    is_some = every or queue is not None or task is not None
    _require_one_way(ids, is_some, "--queue, --task or --all", queue, task)
    with opened(store) as open_store:
        if ids:
            named = _Named(open_store, ids)
            touched = open_store.cancel(which_jobs(ids=named.ids))
            named.explain([job.id for job in touched], "has ended; there is nothing to cancel")
            code = named.code
        else:
            live = [
                which_jobs(state=state, queue=queue, task=task)
                for state in (StateName.QUEUED, StateName.RUNNING)
            ]
            ask_before("Cancel", _matching(open_store, live), yes=yes, as_json=as_json)
            touched, code = open_store.cancel(which_jobs(queue=queue, task=task)), 0
        ring(open_store)
    stopping = [job for job in touched if job.state == "running"]
    cancelled = [job for job in touched if job.state != "running"]
    if as_json:
        print_json({"cancelled": [job.id for job in cancelled], "stopping": [job.id for job in stopping]})
    else:
        _tell_cancelled(cancelled, stopping, is_one_named=bool(ids), suffix=same_store(store))
    raise typer.Exit(code)


def _tell_cancelled(
    cancelled: list[JobRecord], stopping: list[JobRecord], *, is_one_named: bool, suffix: str
) -> None:
    if cancelled:
        say(f"Cancelled: {cancelled[0].id if len(cancelled) == 1 else counted(len(cancelled), 'job')}.")
    if stopping:
        some = stopping[0].id if len(stopping) == 1 else counted(len(stopping), "running job")
        say(f"Asked to stop: {some}.")
        hint(f"Whether it has: outlast jobs show {short_id(stopping[0].id)}{suffix}")
    if not cancelled and not stopping and not is_one_named:
        say("No jobs match; nothing was cancelled.")


# ---- which -----------------------------------------------------------------------------------------------------------


def _require_one_way(
    ids: list[str] | None, is_some: bool, ways: str, queue: str | None, task: str | None
) -> None:
    """Either jobs are named, or a kind of them is."""
    if ids and (is_some or queue is not None or task is not None):
        raise Failure("give ids, or say which jobs by options; not both", UNUSABLE)
    if not ids and not is_some:
        raise Failure(f"say which jobs: their ids, or {ways}", UNUSABLE)


def _matching(store: Store, filters: list[JobFilter]) -> int:
    """How many jobs match, as far as it matters for a question."""
    return sum(len(store.find(which, limit=MANY)) for which in filters)


class _Named:
    """Jobs that were named one by one, and what was wrong with some of them."""

    def __init__(self, store: Store, given: list[str]) -> None:
        from outlast.cli.stores import full_id
        from outlast.errors import JobNotFound

        self._store = store
        self.code = 0
        found = []
        for name in given:
            try:
                found.append(full_id(store, name))
            except JobNotFound as error:
                complain(str(error))
                self.code = NOT_FOUND
        self.ids = tuple(dict.fromkeys(found))

    def explain(self, touched: list[str], why: str) -> None:
        """Say of each that was not touched what it is."""
        from outlast.errors import JobNotFound

        for job_id in self.ids:
            if job_id in touched:
                continue
            try:
                job = self._store.get(job_id)
            except JobNotFound as error:
                complain(str(error))
                self.code = NOT_FOUND
            else:
                complain(f"job {job_id} is {job.view}: it {why}")
                self.code = self.code or NOT_SO
