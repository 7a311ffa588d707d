"""`outlast prune`: delete jobs that ended long ago."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from outlast.cli.exits import Failure
from outlast.cli.options import DEFAULT_STORE, JsonOption, StateName, StoreOption, duration, same_store
from outlast.cli.printing import hint, print_json, say
from outlast.wording import counted, span

if TYPE_CHECKING:
    from outlast.job import State
    from outlast.store import Store

_BATCH = 1000


def prune(
    older_than: Annotated[
        timedelta,
        typer.Option(
            "--older-than", parser=duration, metavar="DURATION", help="Only what ended longer ago: 12h, 7d."
        ),
    ] = "7d",  # type: ignore[assignment]  # the parser reads it
    state: Annotated[
        StateName | None,
        typer.Option(metavar="STATE", help="Only succeeded, failed or cancelled ones.", show_default=False),
    ] = None,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Delete jobs that ended long ago.

    Workers do this by themselves, with the retention of the TaskQueue (a week by default); this is for sooner.

    Example: outlast prune --older-than 12h --state succeeded
    """
    from outlast.cli.stores import opened
    from outlast.job import State

    which = None if state is None else State(state.value)
    if which is not None and not which.ended:
        raise Failure(f"a {which} job has not ended, and only what has ended is pruned; cancel it first", 2)
    with opened(store) as open_store:
        pruned = _prune(open_store, older_than, which)
    if as_json:
        print_json({"pruned": pruned})
        return
    kind = f"{which} job" if which else "job"
    say(f"Pruned {counted(pruned, kind)} that ended more than {span(older_than)} ago.")
    if pruned:
        hint(f"What is left: outlast stats{same_store(store)}")


def _prune(store: Store, older_than: timedelta, state: State | None) -> int:
    """In short commits, so that nobody waits for it."""
    total = 0
    while some := store.prune(older_than, state=state, limit=_BATCH).jobs:
        total += some
    return total
