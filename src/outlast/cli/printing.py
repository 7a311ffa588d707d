"""How commands print: tables and words for people, JSON for programs, hints for what comes next.

Answers go to standard output; errors, questions, progress and hints go to standard error, out of a pipe's way.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TextIO

from outlast.wording import since

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from outlast.job import Progress

_PIPE_WIDTH = 1000
"""Columns when nobody looks: nothing is cut off in a pipe or a file."""
_GAP = 2
_LEAST = 12
"""Columns that a text is never cut below."""
_STYLES = {
    "queued": "cyan",
    "scheduled": "cyan",
    "waiting": "cyan",
    "held": "cyan",
    "published": "cyan",
    "retrying": "yellow",
    "running": "blue",
    "cancelling": "yellow",
    "succeeded": "green",
    "failed": "red",
    "cancelled": "magenta",
    "error": "red",
    "warning": "yellow",
    "note": "cyan",
    "ok": "green",
}
_UNSEEN = {
    code: "\N{REPLACEMENT CHARACTER}" for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"
}


# ---- where to -------------------------------------------------------------------------------------------------------


def answers() -> Console:
    """Standard output."""
    return _console(sys.stdout)


def errors() -> Console:
    """Standard error."""
    return _console(sys.stderr)


def _console(stream: TextIO) -> Console:
    from rich.console import Console

    is_seen = stream.isatty() or "COLUMNS" in os.environ
    return Console(file=stream, highlight=False, emoji=False, width=None if is_seen else _PIPE_WIDTH)


# ---- what ------------------------------------------------------------------------------------------------------------


def say(*lines: str | Text) -> None:
    """Lines of an answer."""
    console = answers()
    for line in lines:
        console.print(plain_text(line), soft_wrap=True)


def hint(text: str) -> None:
    """What the reader may want next."""
    errors().print(plain_text(text), style="dim", soft_wrap=True)


def print_json(value: Any) -> None:
    """The same for programs. Instants are ISO 8601 in UTC, durations are seconds."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False, default=_plain) + "\n")
    sys.stdout.flush()


def print_table(columns: Sequence[Column], rows: Iterable[Sequence[str | Text]]) -> None:
    """A table without lines, a line a row. Where it is too wide, what may be cut off is."""
    from rich.table import Table

    console = answers()
    cells = [[plain_text(cell) for cell in row] for row in rows]
    table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="bold")
    widths = _widths(columns, cells, console.width)
    for column, width in zip(columns, widths, strict=True):
        table.add_column(
            column.name, justify="right" if column.is_number else "left", width=width, no_wrap=True
        )
    for row in cells:
        table.add_row(*map(_cut, row, widths, columns))
    console.print(table)


def _widths(columns: Sequence[Column], cells: list[list[Text]], room: int) -> list[int]:
    """As wide as what is in them; the widest that may be cut gives way first."""
    widths = [
        max([len(column.name), *(row[number].cell_len for row in cells)])
        for number, column in enumerate(columns)
    ]
    yielding = [number for number, column in enumerate(columns) if column.cut]
    while sum(widths) + _GAP * (len(columns) - 1) > room:
        widest = max(yielding, key=widths.__getitem__, default=None)
        if widest is None or widths[widest] <= _LEAST:
            break
        widths[widest] -= 1
    return widths


def _cut(cell: Text, width: int, column: Column) -> Text:
    if cell.cell_len <= width:
        return cell
    if column.cut == "start":
        return plain_text("…" + cell.plain[1 - width :])
    cell.truncate(width, overflow="ellipsis")
    return cell


def print_facts(facts: Iterable[tuple[str, str | Text]]) -> None:
    """Names and what they are, one below the other."""
    from rich.table import Table

    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, fact in facts:
        table.add_row(name, plain_text(fact))
    answers().print(table)


class Bar:
    """How far something has come: a bar on standard error, where somebody sees it; else nothing."""

    def __init__(self, what: str, *, total: int) -> None:
        self._bar: Any = None
        if sys.stderr.isatty():
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

            self._bar = Progress(
                TextColumn(what),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.description}"),
                TimeElapsedColumn(),
                console=errors(),
                transient=True,
            )
            self._task = self._bar.add_task("", total=total)

    def __enter__(self) -> Bar:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def show(self, done: int, told: str = "", *, total: int | None = None) -> None:
        """So many of the total are done; and a few words on the rest. `total`: another one from now on."""
        if self._bar is not None:
            self._bar.update(self._task, completed=done, total=total, description=told)


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table. `cut`: the end of its texts, "start" or "end", that may be cut off; None: neither."""

    name: str
    is_number: bool = False
    cut: str | None = None


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    raise TypeError(f"{value!r} has no JSON")


# ---- words -----------------------------------------------------------------------------------------------------------


def plain_text(told: str | Text) -> Text:
    """Never markup or commands to the terminal: what an error quotes may hold anything."""
    from rich.text import Text

    return Text(told.translate(_UNSEEN)) if isinstance(told, str) else told


def coloured(text: str, kind: str | None = None) -> Text:
    """A state, a view or a level in its colour; or another text in the colour of `kind`."""
    from rich.text import Text

    return Text(text, style=_STYLES.get(kind or text, ""))


def instant(then: datetime, now: datetime) -> str:
    """An instant on the reader's own clock, and how far it is."""
    return f"{then.astimezone():%Y-%m-%d %H:%M:%S} ({since(then, now)})"


def how_far(progress: Progress) -> str:
    """`42 of 100 (42 %): reading`."""
    share = "" if progress.share is None else f" of {progress.total:,} ({progress.share:.0%})"
    return f"{progress.done:,}{share}" + (f": {progress.note}" if progress.note else "")
