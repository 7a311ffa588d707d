"""`outlast jobs wait`: waits until jobs have ended, with a progress bar on a terminal."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from outlast.cli.exits import NOT_SO, TIMED_OUT, complain
from outlast.cli.options import DEFAULT_STORE, JsonOption, StoreOption, duration, same_store
from outlast.cli.printing import Bar, coloured, hint, how_far, plain_text, print_json, say
from outlast.wording import counted, short_id, span

if TYPE_CHECKING:
    from rich.text import Text

    from outlast.job import JobRecord
    from outlast.store import Store

_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 0.25


def wait(
    ids: Annotated[
        list[str], typer.Argument(metavar="ID", help="Ids of jobs, or unique beginnings or ends of them.")
    ],
    timeout: Annotated[
        timedelta | None,
        typer.Option(
            parser=duration, metavar="DURATION", help="Give up after this long: 30s, 5m.", show_default=False
        ),
    ] = None,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Wait until jobs have ended.

    Exit code 1 when one failed or was cancelled, 4 when the timeout came first.

    Example: outlast jobs wait 5f3a9c0b12de --timeout 30s
    """
    from outlast.cli.records import job_fields
    from outlast.cli.stores import full_id, opened
    from outlast.store.liveness import living

    with opened(store) as open_store:
        names = list(dict.fromkeys(full_id(open_store, given) for given in ids))
        jobs = [open_store.get(name) for name in names]
        if not all(job.state.ended for job in jobs) and not living(open_store):
            hint("No worker is alive for this store; start one: outlast worker main:app" + same_store(store))
        jobs = _until_ended(open_store, jobs, timeout)
    if as_json:
        print_json({"jobs": [job_fields(job) for job in jobs]})
    else:
        say(*(_line(job) for job in jobs if job.state.ended))
    raise typer.Exit(_code(jobs, timeout, same_store(store)))


def _until_ended(store: Store, jobs: list[JobRecord], timeout: timedelta | None) -> list[JobRecord]:
    """The jobs as they are once all have ended, or when time is up."""
    give_up = None if timeout is None else time.monotonic() + timeout.total_seconds()
    pause = _FIRST_PAUSE
    with Bar("Waiting", total=len(jobs)) as bar:
        while True:
            jobs = [job if job.state.ended else store.get(job.id) for job in jobs]
            _show(bar, jobs)
            left = None if give_up is None else give_up - time.monotonic()
            if all(job.state.ended for job in jobs) or (left is not None and left <= 0):
                return jobs
            time.sleep(pause if left is None else min(pause, left))
            pause = min(pause * 1.5, _LONGEST_PAUSE)


def _show(bar: Bar, jobs: list[JobRecord]) -> None:
    """Of several how many have ended; of a single one how far it says it is."""
    going = [job for job in jobs if not job.state.ended]
    if len(jobs) == 1 and going and (progress := going[0].progress) is not None and progress.total:
        bar.show(progress.done, progress.note or going[0].view, total=progress.total)
        return
    views = [job.view for job in going]
    told = [f"{views.count(view)} {view}" for view in dict.fromkeys(views)]
    told += [how_far(job.progress) for job in going if job.progress is not None]
    bar.show(len(jobs) - len(going), ", ".join(told), total=len(jobs))


def _line(job: JobRecord) -> Text:
    from rich.text import Text

    took = ""
    if job.started_at is not None and job.finished_at is not None:
        took = f" after {span(job.finished_at - job.started_at)}"
    error = f": {job.error}" if job.error and job.state == "failed" else ""
    return Text.assemble(job.id, " ", coloured(job.view), plain_text(f"{took}  {job.task}{error}"))


def _code(jobs: list[JobRecord], timeout: timedelta | None, suffix: str) -> int:
    going = [job for job in jobs if not job.state.ended]
    if going and timeout is not None:
        complain(f"{counted(len(going), 'job')} had not ended after {span(timeout)}; nothing was stopped")
        hint(f"Why: outlast jobs show {short_id(going[0].id)}{suffix}")
        return TIMED_OUT
    unlucky = [job for job in jobs if job.state in ("failed", "cancelled")]
    if unlucky:
        hint(f"Why: outlast jobs show {short_id(unlucky[0].id)}{suffix}")
    return NOT_SO if unlucky else 0
