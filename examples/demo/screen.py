"""What is shown: a live table in a terminal, plain lines in a log. It only draws what it is given."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from rich import box
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

_HEADINGS = ("Request", "Answer", "State", "Attempt", "Took")
_WIDTHS = (33, 13, 17, 7, 6)
"""With the gaps between them, 80 columns."""
_COLOURS = {
    "succeeded": "green",
    "done": "green",
    "running": "cyan",
    "retrying": "yellow",
    "failed": "red",
    "cancelled": "red",
    "unknown": "red",
}
_PAUSE = 1.0
"""Seconds between two plain lines about the same counter."""


class Row(Protocol):
    """Something that is shown as one row."""

    def cells(self) -> tuple[str, ...]: ...


class Counter:
    """A row about many requests at once."""

    def __init__(self, cells: Callable[[], tuple[str, ...]]) -> None:
        self.cells = cells


class Screen:
    """The terminal, or the log that stands for it."""

    def __init__(self) -> None:
        self._is_live = sys.stdout.isatty()
        # Told outright, so that no variable of the environment brings control codes into a log.
        self.console = Console(highlight=False, force_terminal=None if self._is_live else False)
        self._is_live &= not self.console.is_dumb_terminal

    def act(self, number: int, title: str, caption: str) -> None:
        self.console.print()
        self.console.print(f"[bold cyan]{number}[/]  [bold]{title}[/]")
        self.console.print(Text(caption, style="dim"))

    def say(self, text: str, style: str = "") -> None:
        """A line, never broken, so that paths and links can be copied."""
        self.console.print(Text(text, style=style), soft_wrap=True)

    def prose(self, text: str) -> None:
        self.console.print(Text(text))

    def summary(self, table: Table) -> None:
        self.console.print()
        self.console.print(table)

    @contextmanager
    def board(self, rows: Sequence[Row]) -> Iterator[Callable[[], None]]:
        """Rows that change; call what it gives to show them as they are now."""
        if not self._is_live:
            lines = _Lines(self.console, rows)
            yield lines.show
            lines.show(at_once=True)
            return
        with Live(console=self.console, auto_refresh=False) as live:
            yield lambda: live.update(_table(rows), refresh=True)
            live.update(_table(rows), refresh=True)


class _Lines:
    """Plain lines: a row is printed again when it has changed."""

    def __init__(self, console: Console, rows: Sequence[Row]) -> None:
        self._console = console
        self._rows = rows
        self._shown: dict[int, tuple[tuple[str, ...], float]] = {}

    def show(self, at_once: bool = False) -> None:
        for number, row in enumerate(self._rows):
            cells = row.cells()
            before, when = self._shown.get(number, ((), 0.0))
            is_due = at_once or not isinstance(row, Counter) or time.monotonic() - when >= _PAUSE
            if _gist(cells) != _gist(before) and is_due:
                self._shown[number] = cells, time.monotonic()
                self._console.print(Text(_line(cells)), soft_wrap=True)


def _gist(cells: tuple[str, ...]) -> tuple[str, ...]:
    """Without the seconds of a countdown, which are no news."""
    return tuple("retrying" if cell.startswith("retrying") else cell for cell in cells)


def _line(cells: tuple[str, ...]) -> str:
    request, answer, state, attempt, took = cells
    line = f"  {request:<{_WIDTHS[0]}} {answer:<{_WIDTHS[1]}} {state}"
    if attempt:
        line += f", attempt {attempt}"
    return f"{line}, {took}" if took else line


def _table(rows: Sequence[Row]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=0, header_style="dim", show_edge=False)
    for heading, width in zip(_HEADINGS, _WIDTHS, strict=True):
        table.add_column(heading, width=width, no_wrap=True, overflow="ellipsis")
    for row in rows:
        request, answer, state, attempt, took = row.cells()
        coloured = Text(state, style=_COLOURS.get(state.split()[0] if state else "", ""))
        table.add_row(_shortened(request, _WIDTHS[0]), Text(answer), coloured, attempt, took)
    return table


def _shortened(text: str, width: int) -> Text:
    """Without its middle: what tells two requests apart is at the end."""
    if len(text) <= width:
        return Text(text)
    head = (width - 1) // 2
    return Text(f"{text[:head]}…{text[head + 1 - width :]}")
