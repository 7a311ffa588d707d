"""`outlast jobs`: its commands together."""

from __future__ import annotations

import typer

from outlast.cli import jobs_change, jobs_explain, jobs_list, jobs_log, jobs_show, jobs_wait

app = typer.Typer(
    help="List, show, explain, retry, cancel and wait for jobs, and read their logs.",
    invoke_without_command=True,
)
app.command("list")(jobs_list.list_jobs)
app.command()(jobs_show.show)
app.command()(jobs_explain.explain)
app.command()(jobs_log.log)
app.command()(jobs_change.retry)
app.command()(jobs_change.cancel)
app.command()(jobs_wait.wait)


@app.callback()
def jobs(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
