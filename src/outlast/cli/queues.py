"""`outlast queues`: list, pause and resume them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from outlast.cli.exits import NOT_FOUND, Failure
from outlast.cli.options import DEFAULT_STORE, JsonOption, StoreOption, same_store
from outlast.cli.printing import Column, hint, print_json, print_table, say
from outlast.wording import counted, since

if TYPE_CHECKING:
    from datetime import datetime

    from rich.text import Text

    from outlast.store import QueueRecord, WorkerRecord

app = typer.Typer(help="List, pause and resume queues.", invoke_without_command=True)

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The name of a queue.")]


@app.callback()
def queues(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@app.command("list")
def list_queues(store: StoreOption = DEFAULT_STORE, as_json: JsonOption = False) -> None:
    """List the queues that hold jobs or are paused, with what lies in them.

    Example: outlast queues list
    """
    from outlast.cli.records import queue_fields
    from outlast.cli.stores import now_of, opened, serves
    from outlast.store.liveness import living

    with opened(store) as open_store:
        found = open_store.queues()
        workers = living(open_store)
        now = now_of(open_store)
    if as_json:
        print_json(
            {"queues": [{**queue_fields(queue), "served": serves(workers, queue.name)} for queue in found]}
        )
    elif not found:
        say("No queue holds a job, and none is paused.")
    else:
        print_queues(found, workers, now)
        _hint_after_list(found, same_store(store))


def print_queues(found: list[QueueRecord], workers: list[WorkerRecord], now: datetime) -> None:
    """A table of queues."""
    columns = [
        Column("queue", cut="end"),
        *(Column(name, is_number=True) for name in ("queued", "running", "failed")),
        Column("workers", is_number=True),
        Column(""),
    ]
    print_table(columns, (_row(queue, workers, now) for queue in found))


def _row(queue: QueueRecord, workers: list[WorkerRecord], now: datetime) -> list[str | Text]:
    from outlast.cli.stores import serves

    hands = sum(serves([worker], queue.name) for worker in workers)
    counts = (f"{count:,}" for count in (queue.queued, queue.running, queue.failed, hands))
    return [queue.name, *counts, _paused(queue, now)]


def _paused(queue: QueueRecord, now: datetime) -> Text:
    from rich.text import Text

    return (
        Text("") if queue.paused_at is None else Text(f"paused {since(queue.paused_at, now)}", style="yellow")
    )


def _hint_after_list(found: list[QueueRecord], suffix: str) -> None:
    paused = next((queue for queue in found if queue.paused_at), None)
    if paused is not None:
        hint(f"Let it run: outlast queues resume {paused.name}{suffix}")
    failed = next((queue for queue in found if queue.failed), None)
    if failed is not None:
        hint(f"What failed: outlast jobs list --state failed --queue {failed.name}{suffix}")


@app.command()
def pause(name: NameArgument, store: StoreOption = DEFAULT_STORE, as_json: JsonOption = False) -> None:
    """Let no job of a queue start until it is resumed. What runs goes on; what is added is kept.

    Example: outlast queues pause mail
    """
    from outlast.cli.stores import opened

    with opened(store) as open_store:
        found = {queue.name: queue for queue in open_store.queues()}
        open_store.pause(name)
    queue = found.get(name)
    if as_json:
        print_json({"queue": name, "paused": True})
        return
    say(f"Paused: queue {name}{_contents(queue)}.")
    if queue is None:
        hint(
            "No job of it is queued, running or failed at the moment; check the name if that is not what you expect."
        )
    hint(f"Let it run again: outlast queues resume {name}{same_store(store)}")


def _contents(queue: QueueRecord | None) -> str:
    if queue is None:
        return ""
    running = f", {queue.running:,} run on" if queue.running else ""
    return f" ({counted(queue.queued, 'job')} in it{running})"


@app.command()
def resume(name: NameArgument, store: StoreOption = DEFAULT_STORE, as_json: JsonOption = False) -> None:
    """Let the jobs of a paused queue start again.

    Example: outlast queues resume mail
    """
    from outlast.cli.stores import opened, ring

    with opened(store) as open_store:
        was_paused = open_store.resume(name)
        names = [queue.name for queue in open_store.queues()]
        paused = [queue.name for queue in open_store.queues() if queue.paused_at]
        if was_paused:
            ring(open_store)
    if not was_paused and name not in names:
        raise Failure(_no_such(name, paused), NOT_FOUND)
    if as_json:
        print_json({"queue": name, "paused": False, "was_paused": was_paused})
        return
    say(f"Resumed: queue {name}." if was_paused else f"Queue {name} was not paused.")
    hint(f"Watch it: outlast queues list{same_store(store)}")


def _no_such(name: str, paused: list[str]) -> str:
    some = f"paused are: {', '.join(paused)}" if paused else "no queue is paused"
    return f"there is no queue {name}: it holds no job and is not paused; {some}"
