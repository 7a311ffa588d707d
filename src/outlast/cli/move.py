"""`outlast move`: carries the jobs of one store to another, and sees to it that nobody works on either meanwhile.

How jobs are copied is `outlast.store.moving`. Here: is anybody at work, where do the files lie, how far has it come.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from outlast.address import is_postgres, shown
from outlast.cli.ask import ask_before
from outlast.cli.exits import INTERRUPTED, UNUSABLE, Failure, complain
from outlast.cli.options import JsonOption, YesOption
from outlast.cli.printing import Bar, Column, hint, print_json, print_table, say
from outlast.files import NOWHERE
from outlast.wording import counted

if TYPE_CHECKING:
    from outlast.premises import Premises
    from outlast.store.moving import Contents, Move
    from outlast.store.sql_store import SQLStore

_SHOWN = 5
"""Files named, of those that could not be copied."""


def move(
    source: Annotated[
        str, typer.Argument(metavar="FROM", help="The store whose jobs are moved.", show_default=False)
    ],
    target: Annotated[
        str | None,
        typer.Argument(metavar="TO", help="The store to move them to: an empty one.", show_default=False),
    ] = None,
    *,
    files: Annotated[
        str | None,
        typer.Option("--files", metavar="URL", help="Copy the stored files of the jobs to this place."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be moved, and change nothing.")
    ] = False,
    undo: Annotated[
        bool, typer.Option("--undo", help="Let FROM be worked on again, though its jobs were moved.")
    ] = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Move all jobs to another store: from SQLite to PostgreSQL, back, or between two of a kind.

    Stop the servers and workers of both first. What was interrupted goes on when it is run again.

    Example: outlast move sqlite:///outlast.db postgresql://user@host/database
    """
    if undo:
        _undo(source, yes=yes, as_json=as_json)
    elif target is None:
        raise Failure("name the store to move to, such as postgresql://user@host/database", UNUSABLE)
    elif _is_one(source, target):
        raise Failure(f"{shown(source)} is both stores; name another one to move to", UNUSABLE)
    elif dry_run:
        _dry_run(source, target, files, as_json=as_json)
    else:
        _move(source, target, files, as_json=as_json)


def _is_one(source: str, target: str) -> bool:
    from outlast.store import store_url

    return shown(store_url(source)) == shown(store_url(target))


def _move(source: str, target: str, files: str | None, *, as_json: bool) -> None:
    from outlast.store.moving import Move, open_to_move

    with ExitStack() as left:
        old = left.enter_context(closing(open_to_move(source)))
        left.enter_context(_nobody_works(old))
        new = left.enter_context(closing(open_to_move(target, create=True)))
        left.enter_context(_nobody_works(new))
        moving = Move(old, new)
        if moving.is_done():
            _say_done(old, new, as_json=as_json)
            return
        _bury_the_dead(old)
        luggage = _Files.of(old, new.url, files)
        with _may_be_interrupted(new):
            moving.begin()
            luggage.copy()
            contents = _carried(moving)
    _report(contents, old.url, new.url, luggage, as_json=as_json)


def _carried(moving: Move) -> Contents:
    with Bar("Moving jobs", total=moving.contents().jobs) as bar:
        for there in moving.carry():
            bar.show(there)
    return moving.finish()


@contextmanager
def _may_be_interrupted(new: SQLStore) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        raise Failure(
            f"stopped; not all jobs are in {new.url} yet, and neither store can be worked on. Run the same command "
            "again to go on",
            INTERRUPTED,
        ) from None


# ---- is anybody at work? ---------------------------------------------------------------------------------------------


@contextmanager
def _nobody_works(store: SQLStore) -> Iterator[None]:
    """Nobody does, and nobody begins meanwhile on this machine: no worker for all queues, and no second move."""
    from outlast import locks
    from outlast.premises import Premises

    premises = Premises(store.url)
    _require_nobody(store, premises)
    if not locks.acquire(premises.duty):
        raise _at_work("a worker", store)
    try:
        yield
    finally:
        locks.release(premises.duty)


def _require_nobody(store: SQLStore, premises: Premises) -> None:
    from outlast.store.liveness import living

    # A dry run leaves an older store as it is: there the locks alone tell.
    for worker in () if store.is_older else living(store):
        raise _at_work(f"worker {worker.id} (process {worker.pid} on {worker.host})", store)
    if not premises.duty_is_free():
        raise _at_work("a server's worker, or another `outlast move`,", store)
    if premises.has_servers():
        raise _at_work("a server", store)


def _at_work(who: str, store: SQLStore) -> Failure:
    later = ". One on another machine that died lets go within 15 s" if is_postgres(store.url) else ""
    return Failure(
        f"{who} is at work on {store.url}; stop all servers and workers that use it, then move{later}"
    )


def _bury_the_dead(old: SQLStore) -> None:
    """What dead workers ran is taken up again, what dead servers held is let go, as the next worker would do."""
    from outlast.premises import Premises
    from outlast.worker.chores import bury_the_dead

    bury_the_dead(old, Premises(old.url))
    counts = old.counts()
    if counts["running"]:
        raise Failure(
            f"{counted(counts['running'], 'job')} of {old.url} may still be running in processes that a dead worker "
            "left behind; end them, then move"
        )
    if counts["held"]:
        raise Failure(
            f"{counted(counts['held'], 'job')} of {old.url} are held by a server for a request that is under way; "
            "stop all servers, then move. One on another machine that died lets go after a minute"
        )


# ---- where do the files lie? -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Files:
    """The stored files that jobs use: where they lie, and where the new store will look for them."""

    names: list[str]
    here: str | None
    there: str | None

    @classmethod
    def of(cls, old: SQLStore, new_url: str, asked: str | None) -> _Files:
        """Raises Failure where they would not be found, and nobody has said what to do."""
        from outlast.files import files_url

        names = sorted({name for (files,) in old.rows("files_used") for name in json.loads(files)})
        told = os.environ.get("OUTLAST_FILES")
        found = cls(names, files_url(told, old.url), files_url(asked or told, new_url))
        if names and (found.here == NOWHERE or (asked is None and found.is_far)):
            raise Failure(
                f"{counted(len(names), 'stored file')} of these jobs would not be found any more. If the app has "
                "TaskQueue(files=…), set OUTLAST_FILES to the same, and they stay where they are. If not, they lie "
                f"beside the store, in {found.here}: copy them to a place that the app will name: --files URL",
                UNUSABLE,
            )
        return found

    @property
    def is_far(self) -> bool:
        """Whether the new store looks for them in another place."""
        return self.here != self.there

    def copy(self) -> None:
        """What is not there yet. Those that cannot be copied are told, and hinder nobody."""
        from outlast.files import open_files
        from outlast.files.moving import copied

        if not self.names or not self.is_far:
            return
        faults: list[str] = []
        with Bar("Copying files", total=len(self.names)) as bar:
            for done, fault in enumerate(
                copied(self.names, open_files(self.here), open_files(self.there)), 1
            ):
                faults += [fault] if fault else []
                bar.show(done)
        for fault in faults[:_SHOWN]:
            complain(fault)
        if faults:
            complain(f"{counted(len(faults), 'file')} could not be copied; the jobs that need them will fail")


# ---- what is told ----------------------------------------------------------------------------------------------------


def _report(contents: Contents, old: str, new: str, files: _Files, *, as_json: bool) -> None:
    if as_json:
        print_json({"from": old, "to": new, "moved": True, **_fields(contents, files)})
        return
    say(f"Moved {counted(contents.jobs, 'job')} from {old} to {new}; both hold the same.")
    _print(contents, files)
    if files.names:
        hint(f"Files lie in {files.there}; the app must look there: OUTLAST_FILES={quote(files.there or '')}")
    hint(f"Start servers and workers with the new store: OUTLAST_STORE={quote(new)}")
    hint(
        f"The old one is as it was, and shut. To work on it again after all: outlast move {quote(old)} --undo"
    )


def _fields(contents: Contents, files: _Files) -> dict[str, object]:
    return {
        "jobs": contents.states,
        "attempts": contents.attempts,
        "paused": list(contents.paused),
        "files": len(files.names),
    }


def _print(contents: Contents, files: _Files) -> None:
    columns = [Column("state"), Column("jobs", is_number=True)]
    if contents.jobs:
        print_table(columns, [(state, f"{count:,}") for state, count in contents.states.items()])
    beside = [
        counted(contents.attempts, "unsuccessful attempt"),
        counted(len(contents.paused), "paused queue"),
        counted(len(files.names), "stored file"),
    ]
    say(f"With {', '.join(beside)}.")


def _say_done(old: SQLStore, new: SQLStore, *, as_json: bool) -> None:
    if as_json:
        print_json({"from": old.url, "to": new.url, "moved": False})
        return
    say(f"The jobs of {old.url} were moved to {new.url} already; there is nothing to do.")


def _dry_run(source: str, target: str, files: str | None, *, as_json: bool) -> None:
    """Neither store is written, nor made."""
    from outlast.premises import Premises
    from outlast.store import store_url
    from outlast.store.moving import Move, open_to_move

    new_url = store_url(target)
    with ExitStack() as left:
        old = left.enter_context(closing(open_to_move(source, read_only=not is_postgres(source))))
        _require_nobody(old, Premises(old.url))
        if is_postgres(target) or os.path.exists(new_url.removeprefix("sqlite:///")):
            new = left.enter_context(closing(open_to_move(target, read_only=not is_postgres(target))))
            new_url = new.url
            _require_nobody(new, Premises(new_url))
            if Move(old, new).is_done():
                _say_done(old, new, as_json=as_json)
                return
        luggage = _Files.of(old, new_url, files)
        contents = Move(old, old).contents()
    if as_json:
        print_json({"from": old.url, "to": new_url, "moved": False, **_fields(contents, luggage)})
        return
    say(f"Would move {counted(contents.jobs, 'job')} from {old.url} to {new_url}.")
    _print(contents, luggage)
    if contents.states.get("running"):
        hint("What is running has lost its worker, and is queued again first.")


def _undo(source: str, *, yes: bool, as_json: bool) -> None:
    from outlast.store.moving import open_to_move, take_back

    with closing(open_to_move(source)) as old:
        counts = old.counts()
        hint(
            "Jobs that have not ended will run here; those that the other store has begun, or begins, run twice."
        )
        live = sum(counts[view] for view in counts if view not in ("succeeded", "failed", "cancelled"))
        ask_before("Take back", live, yes=yes, as_json=as_json)
        was_at = take_back(old)
    if as_json:
        print_json({"from": old.url, "taken_back_from": was_at})
    elif was_at is None:
        say(f"The jobs of {old.url} were not moved; there is nothing to undo.")
    else:
        say(f"{old.url} can be worked on again.")
        hint(f"Let nobody work on {was_at} any more.")
