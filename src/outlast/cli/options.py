"""What commands are told: the options that many share, and how their values are written."""

from __future__ import annotations

import os
from datetime import timedelta
from enum import StrEnum
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from outlast.address import shown
from outlast.clock import to_duration

if TYPE_CHECKING:
    from outlast.store import JobFilter

DEFAULT_STORE = "sqlite:///outlast.db"


class LogLevel(StrEnum):
    """How much is told, as an option takes it."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def duration(text: str) -> timedelta:
    """`500ms`, `8s`, `5m`, `2h`, `7d`."""
    try:
        return to_duration(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def names(text: str | None) -> tuple[str, ...] | None:
    """`mail,reports`; None when nothing was given."""
    if text is None:
        return None
    found = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if not found:
        raise typer.BadParameter(f"{text!r} names no queue; write them with commas, such as mail,reports")
    return found


def same_store(url: str) -> str:
    """What a suggested command must say for it to use this store too."""
    return "" if url == os.environ.get("OUTLAST_STORE", DEFAULT_STORE) else f" --store {quote(shown(url))}"


class StateName(StrEnum):
    """The states, as an option takes them."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


STATES = ", ".join(StateName)


def which_jobs(
    *,
    state: StateName | None = None,
    queue: str | None = None,
    task: str | None = None,
    ids: tuple[str, ...] | None = None,
) -> JobFilter:
    """The filter that these options stand for."""
    from outlast.job import State
    from outlast.store import JobFilter

    return JobFilter(state=None if state is None else State(state.value), queue=queue, task=task, ids=ids)


StoreOption = Annotated[
    str,
    typer.Option(
        "--store",
        envvar="OUTLAST_STORE",
        metavar="URL",
        help="The store: sqlite:///path/to/outlast.db, or postgresql://user@host/database.",
    ),
]
AppStoreOption = Annotated[
    str | None,
    typer.Option(
        "--store", envvar="OUTLAST_STORE", metavar="URL", help="The store.", show_default="the app's own"
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
QueueOption = Annotated[str | None, typer.Option("--queue", metavar="NAME", help="Only jobs of this queue.")]
TaskOption = Annotated[
    str | None, typer.Option("--task", metavar="MODULE:FUNCTION", help="Only jobs of this task.")
]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
GraceOption = Annotated[
    timedelta | None,
    typer.Option(
        parser=duration,
        metavar="DURATION",
        help="How long what it has begun may take to finish when it is stopped: 8s, 1m.",
        show_default="the app's, or 8s",
    ),
]
LogLevelOption = Annotated[
    LogLevel | None,
    typer.Option(
        metavar="LEVEL", help="debug (tells of each job), info, warning or error.", show_default="info"
    ),
]
FactoryOption = Annotated[
    bool, typer.Option("--factory", help="The name leads to a function that makes the app.")
]
AppArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="MODULE:APP",
        show_default=False,
        help="The app, such as main:app. Looked for in main.py, app.py, api.py and app/ when it is left out.",
    ),
]
IdArguments = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="ID", show_default=False, help="Ids of jobs, or unique beginnings or ends of them."
    ),
]
