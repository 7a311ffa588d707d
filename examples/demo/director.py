"""The director: sets the stage, has the acts played, adds up, and leaves nothing behind."""

import argparse
import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import httpx
from rich import box
from rich.table import Table

from examples.demo import acts, kill, stage
from examples.demo.acts import Demo
from examples.demo.ledger import Ledger, until
from examples.demo.screen import Screen
from examples.demo.server import Server, choose_port
from examples.demo.trouble import ActFailed, NoAnswer, Trouble

FINE, LOST, UNPLAYABLE, INTERRUPTED = 0, 1, 2, 130
LIMIT = 150.0
"""Seconds after which the acts are given up: something hangs."""


@dataclass(frozen=True, slots=True)
class Act:
    title: str
    caption: str
    play: Callable[[Demo, str], Awaitable[None]]


PLAY = (
    Act(
        "Notifications, in order",
        "The endpoints of FastAPI's own guide; only the import has changed.\n"
        "Watch the lines of each address: first, second.",
        acts.notifications,
    ),
    Act(
        "A report",
        "The answer 202 comes at once and names the job; the page is computed behind it.",
        acts.report,
    ),
    Act(
        "Thumbnails",
        "The endpoint keeps the upload, the task makes three sizes of each.",
        acts.thumbnails,
    ),
    Act(
        "A service that fails twice",
        "Watch the attempt number, and the pauses grow.",
        acts.retries,
    ),
    Act(
        "Pure computing",
        "Seconds of it, in a process of the worker.\nWatch what that does to other requests.",
        acts.computing,
    ),
    Act(
        "The kill",
        f"{kill.ORDERS} orders come in. The server is killed, then the server and its worker.\n"
        "A 2xx was a receipt: watch that each accepted order gets done.",
        kill.kills,
    ),
)


def main() -> int:
    options = _options()
    screen = Screen()
    try:
        return asyncio.run(_run(options, screen))
    except (Trouble, ActFailed, NoAnswer) as error:
        print(f"The demo cannot go on: {error}", file=sys.stderr)
        return UNPLAYABLE
    except asyncio.CancelledError:  # a second Ctrl-C: the rest was killed, not awaited
        return INTERRUPTED


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m examples.demo", description=__doc__)
    parser.add_argument(
        "--once", action="store_true", help="end after the last act instead of leaving the app running"
    )
    parser.add_argument(
        "--only", type=int, metavar="ACT", choices=range(1, len(PLAY) + 1), help="play this act alone"
    )
    parser.add_argument(
        "--port", type=int, help="where the app listens; 0: any free port; default: 8000 if it is free"
    )
    parser.add_argument(
        "--data", type=Path, default=Path("demo-data"), help="folder for files and store; is emptied"
    )
    return parser.parse_args()


async def _run(options: argparse.Namespace, screen: Screen) -> int:
    """Play, then stay until Ctrl-C; whatever happens, end what was started."""
    data = options.data.resolve()
    held = stage.prepare(data)
    server = Server(data, choose_port(options.port), held)
    has_ended = _end_on_signal()
    code = INTERRUPTED
    try:
        code = await _play(_acts(options.only), data, server, screen)
        if not options.once:
            screen.say(f"\nThe app is still there: {server.url}   Ctrl-C ends it.", style="bold")
            await asyncio.Event().wait()
    except asyncio.CancelledError:
        if not has_ended():
            raise
        screen.say("\nEnding …")
    finally:
        killed = await server.stop()
    screen.say(
        f"Ended; {'nothing is left running' if not killed else f'{killed} processes had to be killed'}."
    )
    return code


def _end_on_signal() -> Callable[[], bool]:
    """Let Ctrl-C and its like cancel what runs; says whether one did."""
    loop, playing, signals = asyncio.get_running_loop(), asyncio.current_task(), []

    def end(number: int) -> None:
        signals.append(number)
        if playing is not None:
            playing.cancel()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, end, number)
    return lambda: bool(signals)


def _acts(only: int | None) -> dict[int, Act]:
    acts = dict(enumerate(PLAY, start=1))
    return acts if only is None else {only: acts[only]}


async def _play(acts: dict[int, Act], data: Path, server: Server, screen: Screen) -> int:
    screen.say("Outlast demo", style="bold")
    await server.start()
    screen.say(f"  data    {data}\n  server  {server.url} (process {server.pid}), its log in server.log")
    async with httpx.AsyncClient(base_url=server.url, timeout=10, trust_env=False) as client:
        demo = Demo(data, server, Ledger(client), screen)
        await until(lambda: len(server.worker()) >= 2, lambda: None, seconds=20, what="the worker to start")
        screen.say(f"  worker  {len(server.worker())} processes, started by the server")
        failed = await _play_acts(acts, demo)
        return await _sum_up(acts, demo, failed)


async def _play_acts(acts: dict[int, Act], demo: Demo) -> list[str]:
    """Play every act, also after one that failed. The titles of those."""
    failed = []
    try:
        async with asyncio.timeout(LIMIT):
            for number, act in acts.items():
                demo.screen.act(number, act.title, act.caption)
                try:
                    await act.play(demo, act.title)
                except (ActFailed, NoAnswer) as error:
                    failed.append(act.title)
                    demo.screen.say(f"  FAILED  {error}", style="bold red")
    except TimeoutError:
        raise Trouble(f"it was not over after {LIMIT:g} s; see {demo.server.log}") from None
    return failed


async def _sum_up(acts: dict[int, Act], demo: Demo, failed: list[str]) -> int:
    """The books: what was accepted, asked once more and looked for on the disk. The exit code."""
    await demo.ledger.ask(demo.ledger.entries)
    table = Table(title="Accepted with a 2xx, and what came of it", box=box.SIMPLE, title_justify="left")
    table.add_column("Act")
    for heading in ("accepted", "finished", "lost", "run twice"):
        table.add_column(heading, justify="right")
    rows = [_books(demo, act.title) for act in acts.values()]
    for act, row in zip(acts.values(), rows, strict=True):
        table.add_row(act.title, *map(str, row))
    accepted, finished, lost, twice = (sum(column) for column in zip(*rows, strict=True))
    table.add_section()
    table.add_row("All", *map(str, (accepted, finished, lost, twice)), style="bold")
    demo.screen.summary(table)
    _say_what_it_means(demo.screen, lost, twice)
    for title in failed:
        demo.screen.say(f"The act “{title}” failed; see above, and {demo.server.log}.", style="bold red")
    return LOST if lost or failed else FINE


def _books(demo: Demo, act: str) -> tuple[int, int, int, int]:
    entries = demo.ledger.of(act)
    finished = sum(entry.is_done for entry in entries)
    twice = sum(entry.ran_twice(entry) for entry in entries)
    return len(entries), finished, len(entries) - finished, twice


def _say_what_it_means(screen: Screen, lost: int, twice: int) -> None:
    if lost:
        screen.say(f"LOST: {lost} accepted tasks did not do their work.", style="bold red")
    else:
        good = "Lost: 0. Every accepted task did its work, and its effect is on the disk."
        screen.say(good, style="bold green")
    if twice:
        screen.prose(
            f"{twice} ran twice: a kill cut them off, or came between the end of their work and the note of it."
        )
    screen.prose(
        "Outlast runs a task at least once, so write tasks that may run twice. Those here look for their result first: "
        "each order has one receipt."
    )
