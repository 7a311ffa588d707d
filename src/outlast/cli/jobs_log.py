"""`outlast jobs log`: the lines that a job has written, and with `--follow` those that it writes."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from outlast.cli.options import DEFAULT_STORE, JsonOption, StoreOption, same_store
from outlast.cli.printing import coloured, hint, plain_text, print_json, say
from outlast.wording import short_id

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.text import Text

    from outlast.job import LogLine
    from outlast.store import Store

_PAUSE = 0.2
"""Seconds between looks for more: a worker writes no more often."""
_KINDS = ((40, "error"), (30, "warning"), (0, ""))


def log(
    job_id: Annotated[
        str, typer.Argument(metavar="ID", help="The id of a job, or a unique beginning or end of it.")
    ],
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with the lines that come, until the job has ended.")
    ] = False,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Print the lines that a job has logged, the last 1,000 of all its attempts.

    Example: outlast jobs log 5f3a9c0b12de --follow
    """
    from outlast.cli.stores import full_id, opened

    with opened(store) as open_store:
        name = full_id(open_store, job_id)
        lines = _followed(open_store, name) if follow else iter(open_store.log(name))
        if as_json:
            print_json({"lines": [asdict(line) for line in lines]})
            return
        _print(lines, name, same_store(store))


def _followed(store: Store, job_id: str) -> Iterator[LogLine]:
    """Whether it has ended is asked first: what was written before is then there."""
    last = (0, 0)
    while True:
        has_ended = store.get(job_id).state.ended
        for line in store.log(job_id, after=last):
            last = (line.attempt, line.number)
            yield line
        if has_ended:
            return
        time.sleep(_PAUSE)


def _print(lines: Iterator[LogLine], job_id: str, suffix: str) -> None:
    attempt = 0
    for line in lines:
        if line.attempt != attempt:
            attempt = line.attempt
            say(_title(attempt))
        say(_line(line))
    if not attempt:
        hint(f"It has logged nothing; everything else about it: outlast jobs show {short_id(job_id)}{suffix}")


def _title(attempt: int) -> Text:
    from rich.text import Text

    return Text(f"Attempt {attempt}", style="bold")


def _line(line: LogLine) -> Text:
    from logging import getLevelName

    from rich.text import Text

    kind = next(kind for least, kind in _KINDS if line.level >= least)
    level = coloured(f"{getLevelName(line.level):<8}", kind)
    at = f"{line.at.astimezone():%H:%M:%S}.{line.at.microsecond // 1000:03d}"
    return Text.assemble((f"  {at} ", "dim"), level, (f" {line.logger}: ", "dim"), plain_text(line.text))
