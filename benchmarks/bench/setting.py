"""What every part is given: where its files go, how much to do, and how to tell of progress."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from rich.console import Console

from bench.machine import flush_time


@dataclass(slots=True)
class Setting:
    """One run of the benchmark."""

    folder: Path
    """For stores and logs, on a real disk."""
    quick: bool
    """Small counts, to see that everything works; the figures mean little."""
    console: Console
    _numbers: count[int] = field(default_factory=lambda: count(1))

    def pick(self, full: int, quick: int) -> int:
        return quick if self.quick else full

    def say(self, text: str) -> None:
        """One line of progress."""
        self.console.print(f"  {text}", highlight=False, markup=False, soft_wrap=True)

    def fresh(self, name: str) -> Path:
        """A new folder for one measurement."""
        folder = self.folder / f"{next(self._numbers):03}-{name}"
        folder.mkdir()
        return folder

    def flush_ms(self) -> float:
        """The machine's fsync time now, in milliseconds."""
        return flush_time(self.folder) * 1000
