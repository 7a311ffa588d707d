"""`outlast jobs explain`: why a job is not running now, and what to do about it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from outlast.cli.options import DEFAULT_STORE, JsonOption, StoreOption, same_store
from outlast.cli.printing import coloured, hint, instant, print_facts, print_json, say
from outlast.wording import short_id

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from rich.text import Text

    from outlast.explain import Explanation
    from outlast.job import JobRecord


def explain(
    job_id: Annotated[
        str, typer.Argument(metavar="ID", help="The id of a job, or a unique beginning or end of it.")
    ],
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Say every reason why a job is not running now, and what to do about each.

    Example: outlast jobs explain 5f3a9c0b12de
    """
    from outlast.cli.stores import full_id, now_of, opened
    from outlast.explain import ask

    with opened(store) as open_store:
        job, reasons = ask(open_store, full_id(open_store, job_id))
        now = now_of(open_store)
    suffix = same_store(store)
    if as_json:
        told = [{**asdict(each), "cure": each.cure and each.cure + suffix} for each in reasons]
        print_json({"id": job.id, "state": job.state, "view": job.view, "reasons": told})
        return
    _print(job, reasons, now, suffix)
    hint(f"Everything about it: outlast jobs show {short_id(job.id)}{suffix}")


def _print(job: JobRecord, reasons: Sequence[Explanation], now: datetime, suffix: str) -> None:
    from outlast.explain import nothing_holds

    say(_title(job))
    if not reasons:
        say(f"  {nothing_holds(job)}")
    print_facts(row for reason in reasons for row in _rows(reason, now, suffix))


def _title(job: JobRecord) -> Text:
    from rich.text import Text

    return Text.assemble((f"Job {job.id}", "bold"), " is ", coloured(job.view), f": {job.task}")


def _rows(reason: Explanation, now: datetime, suffix: str) -> Iterator[tuple[str, str | Text]]:
    """The reason, and below it what belongs to it."""
    yield f"  {reason.why.replace('_', ' ')}", reason.text
    if reason.note is not None:
        yield "", f"noted: {reason.note}"
    if reason.until is not None:
        yield "", f"until {instant(reason.until, now)}"
    if reason.cure is not None:
        yield "", coloured(f"→ {reason.cure}{suffix}", "note")
