"""`outlast jobs list`: a line for each job, a page at a time."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from outlast.cli.options import (
    DEFAULT_STORE,
    STATES,
    JsonOption,
    QueueOption,
    StateName,
    StoreOption,
    TaskOption,
    same_store,
    which_jobs,
)
from outlast.cli.printing import Column, answers, coloured, hint, print_json, print_table, say
from outlast.wording import short_id

if TYPE_CHECKING:
    from rich.text import Text

    from outlast.job import JobRecord

_WIDE, _VERY_WIDE = 110, 150
"""Columns from which on a table shows errors, and whole ids."""


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

    which = which_jobs(state=state, queue=queue, task=task)
    with opened(store) as open_store:
        older_than = None if before is None else open_store.get(full_id(open_store, before)).id
        found = open_store.find(which, limit=limit + 1, before=older_than)
        now = now_of(open_store)
    shown, is_more = found[:limit], len(found) > limit
    if as_json:
        print_json({"jobs": [job_fields(job) for job in shown], "before": shown[-1].id if is_more else None})
        return
    if not shown:
        say("No jobs match." if which != which_jobs() or before else "No jobs yet.")
        _hint_at_names(task, open_store.url)
        return
    _print_jobs(shown, now)
    _hint_after_list(shown, is_more, _options(state, queue, task, limit), same_store(store))


def _options(state: StateName | None, queue: str | None, task: str | None, limit: int) -> str:
    """What narrowed the list down, to be said again for its next page."""
    given = {"state": state, "queue": queue, "task": task, "limit": None if limit == 20 else limit}
    return "".join(f" --{name} {value}" for name, value in given.items() if value is not None)


def _print_jobs(shown: list[JobRecord], now: datetime) -> None:
    width = answers().width
    columns = [
        Column("id"),
        Column("state"),
        Column("task", cut="start"),
        Column("queue", cut="end"),
        Column("failures", is_number=True),
        Column("when"),
    ]
    if width >= _WIDE and any(job.error for job in shown):
        columns.append(Column("error", cut="end"))
    print_table(columns, (_row(job, now, width)[: len(columns)] for job in shown))


def _row(job: JobRecord, now: datetime, width: int) -> list[str | Text]:
    from outlast.cli.records import when

    told_id = job.id if width >= _VERY_WIDE else f"…{short_id(job.id)}"
    failures = f"{job.failures}/{job.max_attempts}"
    return [told_id, coloured(job.view), job.task, job.queue, failures, when(job, now), job.error or ""]


def _hint_after_list(shown: list[JobRecord], is_more: bool, options: str, suffix: str) -> None:
    if is_more:
        hint(f"Older ones: outlast jobs list{options} --before {shown[-1].id}{suffix}")
    failed = next((job for job in shown if job.state == "failed"), None)
    hint(f"Show one: outlast jobs show {short_id((failed or shown[0]).id)}{suffix}")


def _hint_at_names(task: str | None, url: str) -> None:
    if task is not None and ":" not in task:
        hint(f"A task is named MODULE:FUNCTION, such as main:{task}")
    else:
        hint(f"The store is {url}")
