"""`make bench`: measures Outlast beside FastAPI's own background tasks, and writes RESULTS.md.

    .venv/bin/python benchmarks/run.py [--quick] [--peers] [--only PART,PART]

What each figure means, and what limits it, is in README.md.
"""

from __future__ import annotations

import argparse
import compileall
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rich.console import Console

from bench import peers
from bench.machine import facts, in_memory_filesystem
from bench.parts import claims, dashboard, drain, footprint, handover, http, kill, latency, postgres
from bench.processes import Broken
from bench.report import Table
from bench.setting import Setting

PARTS: dict[str, Callable[[Setting], list[Table]]] = {
    "http": http.measure,
    "drain": drain.measure,
    "latency": latency.measure,
    "footprint": footprint.measure,
    "kill": kill.measure,
    "claims": claims.measure,
    "dashboard": dashboard.measure,
    "handover": handover.measure,
    "postgres": postgres.measure,
    "peers": peers.measure,
}
_WITH_OTHERS = ("handover", "postgres", "peers")
"""Parts that measure other task queues."""
RESULTS = Path(__file__).resolve().parent / "RESULTS.md"
_SOURCE = Path(__file__).resolve().parent.parent / "src"
_STORES = Path(__file__).resolve().parent / ".stores"
"""Beside this file, because a temporary folder may lie in memory, where a flush costs nothing."""


def main() -> int:
    """Run what was asked for. Returns the exit code: 1 when a part broke."""
    words = _words()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is ended
    console = Console()
    if not console.is_terminal:
        console.width = 150
    compileall.compile_dir(_SOURCE, quiet=1)  # as pip does when it installs a package
    with _folder() as folder:
        setting = Setting(folder, words.quick, console)
        heading = _heading(setting)
        tables, broken = _measure(setting, _wanted(words))
    for table in tables:
        console.print()
        console.print(table.to_rich())
    if not broken and not words.quick and not words.only:
        RESULTS.write_text("\n".join([heading, *(table.to_markdown() for table in tables)]))
        console.print(f"\nWritten to {RESULTS}")
    return 1 if broken else 0


@contextmanager
def _folder() -> Iterator[Path]:
    """A folder for stores and logs, gone at the end."""
    _STORES.mkdir(exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(dir=_STORES) as folder:
            yield Path(folder)
    finally:
        with suppress(OSError):  # another run's stores are there
            _STORES.rmdir()


def _wanted(words: argparse.Namespace) -> dict[str, Callable[[Setting], list[Table]]]:
    names = words.only or [name for name in PARTS if name not in _WITH_OTHERS or words.peers]
    return {name: PARTS[name] for name in PARTS if name in names}


def _measure(
    setting: Setting, parts: dict[str, Callable[[Setting], list[Table]]]
) -> tuple[list[Table], bool]:
    """The tables of all parts; a part that breaks is told, and does not keep the others from being measured."""
    tables, broken = [], False
    for number, (name, measure) in enumerate(parts.items(), 1):
        began = time.monotonic()
        setting.console.print(f"[bold]{number}/{len(parts)} {name}[/bold]")
        try:
            tables += measure(setting)
        except Broken as error:
            setting.console.print(f"{name} broke: {error}", style="red", markup=False)
            broken = True
        setting.say(f"({time.monotonic() - began:.0f} s)")
    return tables, broken


def _heading(setting: Setting) -> str:
    lines = facts(setting.folder)
    memory = in_memory_filesystem(setting.folder)
    if memory is not None:
        lines.append(
            f"WARNING: the stores lie on {memory}, in memory: flushes cost nothing here, and figures flatter"
        )
    for line in lines:
        setting.say(line)
    told = "\n".join(f"- {line}" for line in lines)
    return (
        "# Results of `make bench`\n\n"
        "Written by `benchmarks/run.py`; [README.md](README.md) says what each figure means. Figures are the median of "
        f"several rounds, with the least and the most in parentheses.\n\n{told}\n"
    )


def _words() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Measures Outlast on this machine; writes benchmarks/RESULTS.md."
    )
    parser.add_argument(
        "--quick", action="store_true", help="small counts, to see that all works; writes no file"
    )
    parser.add_argument(
        "--only", type=_names, default=[], metavar="PARTS", help=f"some of {','.join(PARTS)}; writes no file"
    )
    parser.add_argument(
        "--peers", action="store_true", help="other task queues too, in environments of their own"
    )
    return parser.parse_args()


def _names(text: str) -> list[str]:
    names = text.split(",")
    for name in names:
        if name not in PARTS:
            raise argparse.ArgumentTypeError(f"there is no part {name!r}; there are {', '.join(PARTS)}")
    return names


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
