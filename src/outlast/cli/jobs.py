"""`outlast jobs`: list, show, retry and cancel them. Waiting is in `outlast.cli.wait`."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from outlast.cli import wait
from outlast.cli.ask import ask_before
from outlast.cli.exits import NOT_FOUND, NOT_SO, UNUSABLE, Failure, complain
from outlast.cli.options import (
    DEFAULT_STORE,
    JsonOption,
    QueueOption,
    StoreOption,
    TaskOption,
    YesOption,
    same_store,
)
from outlast.cli.printing import (
    Column,
    answers,
    coloured,
    counted,
    hint,
    instant,
    print_facts,
    print_json,
    print_table,
    say,
    span,
)

if TYPE_CHECKING:
    from rich.text import Text

    from outlast.job import Attempt, JobRecord
    from outlast.store import JobFilter, Store

app = typer.Typer(help="List, show, retry, cancel and wait for jobs.", invoke_without_command=True)

_SHORT = 12
"""Characters of an id's end in narrow tables; they are enough to name it."""
_WIDE = 110
"""Columns from which on a table shows whole ids."""

IdArguments = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="ID", show_default=False, help="Ids of jobs, or unique beginnings or ends of them."
    ),
]


class StateName(StrEnum):
    """The states, as an option takes them."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


STATES = ", ".join(StateName)


@app.callback()
def jobs(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


# ---- list ------------------------------------------------------------------------------------------------------------


@app.command("list")
def list_jobs(
    *,
    state: Annotated[
        StateName | None,
        typer.Option(metavar="STATE", help=f"Only jobs in this state: {STATES}.", show_default=False),
    ] = None,
    queue: QueueOption = None,
    task: TaskOption = None,
    limit: Annotated[int, typer.Option(metavar="N", min=1, max=10_000, help="How many at most.")] = 20,
    before: Annotated[
        str | None, typer.Option(metavar="ID", help="Only jobs older than this one: how to page on.")
    ] = None,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """List jobs, newest first.

    Example: outlast jobs list --state failed --queue mail
    """
    from outlast.cli.records import job_fields
    from outlast.cli.stores import full_id, now_of, opened

    which = _which(state=state, queue=queue, task=task)
    with opened(store) as open_store:
        older_than = None if before is None else open_store.get(full_id(open_store, before)).id
        found = open_store.find(which, limit=limit + 1, before=older_than)
        now = now_of(open_store)
    shown, is_more = found[:limit], len(found) > limit
    if as_json:
        print_json({"jobs": [job_fields(job) for job in shown], "before": shown[-1].id if is_more else None})
        return
    if not shown:
        say("No jobs match." if which != _which() or before else "No jobs yet.")
        _hint_at_names(task, open_store.url)
        return
    _print_jobs(shown, now)
    _hint_after_list(shown, is_more, _options(state, queue, task, limit), same_store(store))


def _which(
    *,
    state: StateName | None = None,
    queue: str | None = None,
    task: str | None = None,
    ids: tuple[str, ...] | None = None,
) -> JobFilter:
    from outlast.job import State
    from outlast.store import JobFilter

    return JobFilter(state=None if state is None else State(state.value), queue=queue, task=task, ids=ids)


def _options(state: StateName | None, queue: str | None, task: str | None, limit: int) -> str:
    """What narrowed the list down, to be said again for its next page."""
    given = {"state": state, "queue": queue, "task": task, "limit": None if limit == 20 else limit}
    return "".join(f" --{name} {value}" for name, value in given.items() if value is not None)


def _print_jobs(shown: list[JobRecord], now: datetime) -> None:
    is_wide = answers().width >= _WIDE
    has_errors = is_wide and any(job.error for job in shown)
    columns = [
        Column("id", least=36 if is_wide else _SHORT + 1),
        Column("state", least=9),
        Column("task"),
        Column("queue"),
        Column("failures", is_number=True, least=5),
        Column("when", least=10),
        *([Column("error", ratio=1)] if has_errors else []),
    ]
    print_table(columns, (_row(job, now, is_wide)[: len(columns)] for job in shown))


def _row(job: JobRecord, now: datetime, is_wide: bool) -> list[str | Text]:
    from outlast.cli.records import when

    told_id = job.id if is_wide else f"…{job.id[-_SHORT:]}"
    failures = f"{job.failures}/{job.max_attempts}"
    return [told_id, coloured(job.view), job.task, job.queue, failures, when(job, now), job.error or ""]


def _hint_after_list(shown: list[JobRecord], is_more: bool, options: str, suffix: str) -> None:
    if is_more:
        hint(f"Older ones: outlast jobs list{options} --before {shown[-1].id}{suffix}")
    failed = next((job for job in shown if job.state == "failed"), None)
    hint(f"Show one: outlast jobs show {(failed or shown[0]).id[-_SHORT:]}{suffix}")


def _hint_at_names(task: str | None, url: str) -> None:
    if task is not None and ":" not in task:
        hint(f"A task is named MODULE:FUNCTION, such as main:{task}")
    else:
        hint(f"The store is {url}")


# ---- show ------------------------------------------------------------------------------------------------------------


@app.command()
def show(
    job_id: Annotated[
        str, typer.Argument(metavar="ID", help="The id of a job, or a unique beginning or end of it.")
    ],
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Show one job: its arguments, its failed attempts with their tracebacks, and what happens next.

    Example: outlast jobs show 5f3a9c0b12de
    """
    from outlast.cli.forecast import forecast
    from outlast.cli.records import attempt_fields, job_fields
    from outlast.cli.stores import full_id, living, now_of, opened, serves

    with opened(store) as open_store:
        job = open_store.get(full_id(open_store, job_id))
        attempts = open_store.attempts(job.id)
        is_paused = any(queue.name == job.queue and queue.paused_at for queue in open_store.queues())
        is_served = serves(living(open_store), job.queue)
        now = now_of(open_store)
    comes = forecast(job, now, is_paused=is_paused, is_served=is_served, suffix=same_store(store))
    if as_json:
        print_json(
            {**job_fields(job), "attempts": [attempt_fields(each) for each in attempts], "next": comes}
        )
        return
    _print_job(job, now)
    for attempt in attempts:
        _print_attempt(attempt)
    say("", *_titled("Next"), *(f"  {sentence}" for sentence in comes))


def _print_job(job: JobRecord, now: datetime) -> None:
    from outlast.cli.records import arguments, result

    say(*_titled(f"Job {job.id}"))
    print_facts(
        (name, fact)
        for name, fact in (
            ("  state", coloured(job.view)),
            ("  task", job.task),
            ("  queue", f"{job.queue}, priority {job.priority}"),
            ("  attempt", f"{job.attempt}; {job.failures} of {job.max_attempts} failures"),
            ("  created", instant(job.created_at, now)),
            ("  due", "" if job.run_at == job.created_at else instant(job.run_at, now)),
            ("  expires", "" if job.expires_at is None else instant(job.expires_at, now)),
            ("  timeout", "" if job.timeout is None else span(job.timeout)),
            ("  started", "" if job.started_at is None else instant(job.started_at, now)),
            ("  ended", _ended(job, now)),
            ("  worker", job.worker or ""),
            ("  reason", job.reason or ""),
            ("  error", job.error or ""),
            ("  note", job.note or ""),
            ("  result", result(job) if job.state == "succeeded" else ""),
        )
        if fact
    )
    given = arguments(job)
    say("", *_titled("Arguments" if given else "No arguments"))
    print_facts((f"  {name}", value) for name, value in given)


def _ended(job: JobRecord, now: datetime) -> str:
    if job.finished_at is None:
        return ""
    took = "" if job.started_at is None else f", after {span(job.finished_at - job.started_at)}"
    return f"{instant(job.finished_at, now)}{took}"


def _print_attempt(attempt: Attempt) -> None:
    took = "" if attempt.started_at is None else f" after {span(attempt.ended_at - attempt.started_at)}"
    say("", *_titled(f"Attempt {attempt.attempt} {attempt.outcome}{took}"))
    text = attempt.traceback.rstrip() or attempt.error
    say(*(f"  {line}" for line in text.splitlines()))


def _titled(title: str) -> list[Text]:
    from rich.text import Text

    return [Text(title, style="bold")]


# ---- retry -----------------------------------------------------------------------------------------------------------


@app.command()
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
            retried = open_store.retry(_which(ids=named.ids))
            named.explain(retried, "cannot be retried; only failed and cancelled jobs can")
            code = named.code
        else:
            filters = [_which(state=state, queue=queue, task=task) for state in states]
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
        hint(f"Wait for it: outlast jobs wait {' '.join(job_id[-_SHORT:] for job_id in retried)}{suffix}")
    else:
        hint(f"Watch them: outlast stats{suffix}")


# ---- cancel ----------------------------------------------------------------------------------------------------------


@app.command()
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
            touched = open_store.cancel(_which(ids=named.ids))
            named.explain([job.id for job in touched], "has ended; there is nothing to cancel")
            code = named.code
        else:
            live = [
                _which(state=state, queue=queue, task=task) for state in (StateName.QUEUED, StateName.RUNNING)
            ]
            ask_before("Cancel", _matching(open_store, live), yes=yes, as_json=as_json)
            touched, code = open_store.cancel(_which(queue=queue, task=task)), 0
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
        hint(f"Whether it has: outlast jobs show {stopping[0].id[-_SHORT:]}{suffix}")
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
    most = 10_000
    return sum(len(store.find(which, limit=most)) for which in filters)


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


app.command("wait")(wait.wait)
