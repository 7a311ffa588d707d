"""`outlast check`: prints what `outlast.cli.findings` finds out about an app, its store and its workers."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from outlast.cli.options import AppArgument, AppStoreOption, FactoryOption, JsonOption
from outlast.cli.printing import answers, coloured, hint, plain_text, print_json, say
from outlast.wording import counted

if TYPE_CHECKING:
    from outlast.cli.findings import Finding

AgainstOption = Annotated[
    str | None,
    typer.Option(
        "--against",
        metavar="URL",
        show_default=False,
        help="Only see whether this code would run the jobs of this store, which is not changed.",
    ),
]


def check(
    app: AppArgument = None,
    factory: FactoryOption = False,
    store: AppStoreOption = None,
    against: AgainstOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check an app, its store and its workers; or, before a release, its code against the jobs of a store.

    Exit code 1 when there are errors; warnings and notes are none.

    Example: outlast check main:app
    """
    from outlast.cli.findings import look

    findings = []
    for finding in look(app, store, against=against, factory=factory):
        findings.append(finding)
        if not as_json:
            _print(finding)
    errors = sum(finding.level == "error" for finding in findings)
    if as_json:
        print_json({"ok": errors == 0, "findings": [asdict(finding) for finding in findings]})
    else:
        say("", _summary(findings, errors))
        if not errors and against is None:
            hint(f"Serve it: outlast dev {app or ''}")
    raise typer.Exit(1 if errors else 0)


def _print(finding: Finding) -> None:
    from rich.table import Table

    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(width=7)
    grid.add_column(width=7, style="bold")
    grid.add_column()
    grid.add_row(coloured(finding.level), finding.about, plain_text(finding.text))
    if finding.cure is not None:
        grid.add_row("", "", plain_text(f"→ {finding.cure}"))
    answers().print(grid)


def _summary(findings: list[Finding], errors: int) -> str:
    warnings = sum(finding.level == "warning" for finding in findings)
    if not errors and not warnings:
        return "Nothing is wrong."
    return f"{counted(errors, 'error')}, {counted(warnings, 'warning')}."
