"""All commands together. Each group has a module of its own; a command imports what is heavy when it runs."""

from __future__ import annotations

from typing import Annotated

import typer

from outlast.cli import check, dashboard, dev, jobs, migrate, move, prune, queues, relay, stats, worker
from outlast.cli.exits import Commands

RUN = "Run"
ACT = "Look and act"

app = typer.Typer(
    cls=Commands,
    help="Outlast: background tasks of FastAPI that survive.",
    epilog="Exit codes: 0 fine, 1 not so, 2 misspelt or unusable, 3 not found, 4 timed out, 130 Ctrl-C.",
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command(rich_help_panel=RUN)(dev.dev)
app.command(rich_help_panel=RUN)(worker.worker)
app.command(rich_help_panel=RUN)(relay.relay)
app.command(rich_help_panel=RUN)(dashboard.dashboard)
app.command(rich_help_panel=RUN)(check.check)
app.command(rich_help_panel=RUN)(migrate.migrate)
app.command(rich_help_panel=RUN)(move.move)
app.add_typer(jobs.app, name="jobs", rich_help_panel=ACT)
app.add_typer(queues.app, name="queues", rich_help_panel=ACT)
app.command(rich_help_panel=ACT)(stats.stats)
app.command(rich_help_panel=ACT)(prune.prune)


def _version(is_asked: bool) -> None:
    if is_asked:
        from importlib.metadata import version

        typer.echo(f"outlast {version('outlast')}")
        raise typer.Exit


@app.callback()
def outlast(
    context: typer.Context,
    _: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
