"""The question before a command touches many jobs."""

from __future__ import annotations

import sys

import typer

from outlast.cli.exits import UNUSABLE, Failure
from outlast.cli.printing import hint
from outlast.wording import counted

MANY = 10_000
"""So many are not counted exactly for a question."""


def ask_before(verb: str, count: int, *, yes: bool, as_json: bool) -> None:
    """Ask whether to go on, if more than one job is meant. Where nobody can answer, `--yes` must be said.

    Ends the command when the answer is no.
    """
    if yes or count <= 1:
        return
    many = counted(count, "job") if count < MANY else f"{MANY:,} or more jobs"
    what = f"{verb} {many}"
    if as_json or not sys.stdin.isatty():
        raise Failure(f"{what}? Nobody is here to answer: say --yes", UNUSABLE)
    if not typer.confirm(f"{what}?", err=True):
        hint("Nothing was changed.")
        raise typer.Exit(1)
