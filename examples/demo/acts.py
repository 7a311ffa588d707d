"""The first five acts: what background work looks like while nothing goes wrong but a service that is away.

Each sends its requests, shows them, and raises ActFailed unless its effects lie on the disk in the end. The sixth, the
kill, has a module of its own.
"""

import asyncio
import csv
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

from PIL import Image

from examples.demo.ledger import Entry, Ledger, Missing, Twice, until
from examples.demo.pictures import landscape
from examples.demo.report import SEATTLE
from examples.demo.screen import Row, Screen
from examples.demo.server import Server
from examples.demo.trouble import ActFailed


@dataclass(frozen=True, slots=True)
class Demo:
    """What the acts share."""

    data: Path
    server: Server
    ledger: Ledger
    screen: Screen


# ---- 1 --------------------------------------------------------------------------------------------------------------


async def notifications(demo: Demo, act: str) -> None:
    """Two tasks of one request run in the order they were added; `log.txt` tells."""
    log = demo.data / "log.txt"
    demo.screen.say(f"  log     {log}")
    one, many = "send-notification", "send-multiple-notifications"
    wanted = [
        (one, "ada@example.com", ["some"]),
        (many, "bob@example.com", ["first", "second"]),
        (many, "cyd@example.com", ["first", "second"]),
    ]
    entries = [
        await demo.ledger.post(act, f"/{endpoint}/{email}", *_lines_of(log, email, words))
        for endpoint, email, words in wanted
    ]
    await _show(demo, entries)
    demo.screen.say("".join(f"  {line}\n" for line in log.read_text().splitlines()).rstrip(), style="dim")


def _lines_of(log: Path, email: str, words: list[str]) -> tuple[Missing, Twice]:
    wanted = [f"notification for {email}: {word} notification" for word in words]

    def found() -> list[str]:
        lines = log.read_text().splitlines() if log.exists() else []
        return [line for line in lines if f" {email}:" in line]

    def missing(_: Entry) -> str | None:
        return None if list(dict.fromkeys(found())) == wanted else f"{log.name} has {found()} of {wanted}"

    return missing, lambda _: len(found()) > len(wanted)


# ---- 2 --------------------------------------------------------------------------------------------------------------


async def report(demo: Demo, act: str) -> None:
    """A page computed from the CSV file, with figures that are computed here once more."""
    entry = await demo.ledger.post(act, "/reports", _page_in(demo.data / "reports"))
    await _show(demo, [entry])
    page = await demo.ledger.get(entry.answer["result"])
    if "<svg" not in page.text:
        raise ActFailed(f"{entry.answer['result']} was answered with {page.status_code}, without a chart")
    demo.screen.say(f"  page    {demo.server.url}{entry.answer['result']}", style="bold")


def _page_in(folder: Path) -> Missing:
    with SEATTLE.open(newline="") as file:
        rows = list(csv.DictReader(file))
    rain = sum(float(row["rain_mm"]) for row in rows if row["date"].startswith("2015"))

    def missing(entry: Entry) -> str | None:
        page = _file(folder, entry, ".html")
        if not page.exists():
            return f"{page} is not there"
        text = page.read_text()
        wanted = [f"{len(rows):,} daily records", f"<td>{rain:,.0f}</td>"]
        return next((f"{page} lacks {part!r}" for part in wanted if part not in text), None)

    return missing


# ---- 3 --------------------------------------------------------------------------------------------------------------


async def thumbnails(demo: Demo, act: str) -> None:
    """Uploaded images, each made into three sizes."""
    entries = []
    for number in range(3):
        upload = {"file": (f"landscape-{number + 1}.jpg", landscape(number), "image/jpeg")}
        entries.append(await demo.ledger.post(act, "/images", _sizes_in(demo.data / "images"), files=upload))
    await _show(demo, entries)
    for entry in entries:
        thumbnail = await demo.ledger.get(entry.answer["result"])
        if thumbnail.headers.get("content-type") != "image/webp":
            raise ActFailed(
                f"{entry.answer['result']} was answered with {thumbnail.status_code}, without an image"
            )
        demo.screen.say(f"  image   {demo.server.url}{entry.answer['result']}")


def _sizes_in(folder: Path) -> Missing:
    def missing(entry: Entry) -> str | None:
        for size in (96, 240, 480):
            path = _file(folder, entry) / f"{size}.webp"
            if not path.exists():
                return f"{path} is not there"
            with Image.open(path) as thumbnail:
                thumbnail.load()
                if max(thumbnail.size) != size:
                    return f"{path} measures {thumbnail.size}"
        return None

    return missing


# ---- 4 --------------------------------------------------------------------------------------------------------------


async def retries(demo: Demo, act: str) -> None:
    """A task that fails twice. The pauses between its attempts are read from what it wrote itself."""
    log = demo.data / "flaky.txt"
    entry = await demo.ledger.post(act, "/flaky", _three_attempts_in(log), lambda entry: entry.attempt > 3)
    await _show(demo, [entry])
    times = [datetime.fromisoformat(line.split()[-1]) for line in log.read_text().splitlines()]
    pauses = [(later - earlier).total_seconds() for earlier, later in pairwise(times)]
    demo.screen.say(
        f"  pauses  {' and '.join(f'{pause:.1f} s' for pause in pauses)} between its {len(times)} attempts"
    )
    if pauses != sorted(pauses) or min(pauses, default=0) < 0.5:
        raise ActFailed(f"the pauses between the attempts should grow from about 1 s: {pauses}")


def _three_attempts_in(log: Path) -> Missing:
    def missing(_: Entry) -> str | None:
        attempts = [line.split()[2] for line in log.read_text().splitlines()] if log.exists() else []
        return None if attempts == ["1", "2", "3"] else f"{log} has the attempts {attempts}"

    return missing


# ---- 5 --------------------------------------------------------------------------------------------------------------

BELOW = 1_000_000
PRIMES = 78_498
_IDLE = timedelta(seconds=1.5)


async def computing(demo: Demo, act: str) -> None:
    """How long `GET /ping` takes, with and without a task that computes in the worker."""
    before = await _pings(demo, _during(_IDLE))
    entry = await demo.ledger.post(act, f"/crunch?below={BELOW}", _count_of_primes)

    async def is_running() -> bool:
        await demo.ledger.ask([entry])
        return entry.state not in ("accepted", "queued")

    with demo.screen.board([entry]) as show:
        await until(is_running, show, seconds=15, what="the computing to start")
        during = await _pings(demo, _while_open(demo, entry))
        await demo.ledger.follow([entry], show)
    for name, seconds in (("before", before), ("during", during)):
        p50, p99 = _percentile(seconds, 50), _percentile(seconds, 99)
        demo.screen.say(
            f"  {name}  p50 {p50:5.1f} ms   p99 {p99:5.1f} ms   of {len(seconds)} GET /ping", style="bold"
        )
    _demand([entry])


def _count_of_primes(entry: Entry) -> str | None:
    # Its result is a number, kept with the job: there is no file to look at, but the number is known.
    result = entry.told.get("result")
    return None if result == PRIMES else f"the number of primes came out as {result}"


async def _pings(demo: Demo, goes_on: Callable[[int], Awaitable[bool]]) -> list[float]:
    """Milliseconds of one request after the other, a hundredth of a second apart."""
    taken: list[float] = []
    while await goes_on(len(taken)):
        began = time.perf_counter()
        await demo.ledger.get("/ping")
        taken.append((time.perf_counter() - began) * 1000)
        await asyncio.sleep(0.01)
    return taken


def _during(span: timedelta) -> Callable[[int], Awaitable[bool]]:
    deadline = time.monotonic() + span.total_seconds()

    async def goes_on(_: int) -> bool:
        return time.monotonic() < deadline

    return goes_on


def _while_open(demo: Demo, entry: Entry) -> Callable[[int], Awaitable[bool]]:
    async def goes_on(count: int) -> bool:
        if count % 20 == 0:  # asked seldom, so that asking is not what is measured
            await demo.ledger.ask([entry])
        return not entry.is_over

    return goes_on


def _percentile(values: Sequence[float], percent: int) -> float:
    """By nearest rank."""
    ordered = sorted(values)
    return ordered[-(-len(ordered) * percent // 100) - 1]


# ---- all ------------------------------------------------------------------------------------------------------------


async def _show(demo: Demo, entries: list[Entry]) -> None:
    """Follow them to their end, and have a look at the disk then."""
    rows: Sequence[Row] = entries
    with demo.screen.board(rows) as show:
        show()
        await demo.ledger.follow(entries, show)
    _demand(entries)


def _demand(entries: list[Entry]) -> None:
    for entry in entries:
        if not entry.is_done:
            why = entry.missing(entry) or entry.told.get("error")
            raise ActFailed(f"{entry.request} was accepted, but is {entry.state}: {why}")


def _file(folder: Path, entry: Entry, suffix: str = "") -> Path:
    """Where the effect of an entry lies: the answer names it by the last part of its result."""
    return folder / (str(entry.answer["result"]).rpartition("/")[2] + suffix)
