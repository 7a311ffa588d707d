"""`outlast jobs show`: everything that is known of one job."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from outlast.cli.options import DEFAULT_STORE, JsonOption, StoreOption, same_store
from outlast.cli.printing import coloured, how_far, instant, print_facts, print_json, say
from outlast.wording import since, span

if TYPE_CHECKING:
    from rich.text import Text

    from outlast.job import Attempt, JobRecord


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
    from outlast.cli.stores import full_id, now_of, opened, whole
    from outlast.explain import ask

    with opened(store) as open_store:
        found, reasons = ask(open_store, full_id(open_store, job_id))
        job = whole(found, open_store)
        attempts = open_store.attempts(job.id)
        now = now_of(open_store)
    comes = forecast(job, reasons, now, suffix=same_store(store))
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
    from outlast.wording import arguments, result

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
            ("  progress", _progress(job, now)),
            ("  worker", job.worker or ""),
            ("  engine", f"{job.engine}, as {job.engine_id}" if job.engine else ""),
            ("  reason", job.reason or ""),
            ("  error", job.error or ""),
            ("  note", job.note or ""),
            ("  owner", job.owner or ""),
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


def _progress(job: JobRecord, now: datetime) -> str:
    return "" if job.progress is None else f"{how_far(job.progress)}, {since(job.progress.at, now)}"


def _print_attempt(attempt: Attempt) -> None:
    took = "" if attempt.started_at is None else f" after {span(attempt.ended_at - attempt.started_at)}"
    say("", *_titled(f"Attempt {attempt.attempt} {attempt.outcome}{took}"))
    text = attempt.traceback.rstrip() or attempt.error
    say(*(f"  {line}" for line in text.splitlines()))


def _titled(title: str) -> list[Text]:
    from rich.text import Text

    return [Text(title, style="bold")]
