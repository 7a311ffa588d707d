"""The sixth act: the server is killed in mid-work, twice, and every accepted order gets its receipt.

Eight clients send the orders. The first kill hits the server while they are still sending, the second the server and
its whole worker while about half of the receipts are written. A client whose request got no answer sends it again: it
knows nothing, and the receipt of an order is written once however often it is asked for.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from examples.demo.acts import Demo
from examples.demo.ledger import Entry, Ledger, until
from examples.demo.screen import Counter
from examples.demo.trouble import ActFailed, NoAnswer

ORDERS = 200
CLIENTS = 8
FIRST_KILL = 120
"""Accepted orders at which the server is killed."""
SECOND_KILL = 90
"""Receipts at which the server and its worker are killed, once all orders are accepted."""
PATIENCE = 15.0
"""Seconds without another receipt after which what is missing counts as lost."""


@dataclass
class Orders:
    """The orders: sent, accepted, begun, and with a receipt. The last two are read from the disk."""

    data: Path
    ledger: Ledger
    act: str
    accepted: list[Entry] = field(default_factory=list)
    unanswered: int = 0
    server_is_up: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.server_is_up.set()

    async def send(self) -> None:
        """Send every order until it is accepted."""
        open_orders = iter(range(1, ORDERS + 1))
        async with asyncio.TaskGroup() as clients:
            for _ in range(CLIENTS):
                clients.create_task(self._client(open_orders))

    async def _client(self, open_orders: Iterator[int]) -> None:
        for order in open_orders:
            while not await self._is_accepted(order):
                self.unanswered += 1
                await self.server_is_up.wait()

    async def _is_accepted(self, order: int) -> bool:
        try:
            path = f"/orders/{order}"
            self.accepted.append(await self.ledger.post(self.act, path, self._missing, self._began_twice))
        except NoAnswer:
            return False
        return True

    def _missing(self, entry: Entry) -> str | None:
        receipt = self.data / "receipts" / f"{entry.request.rpartition('/')[2]}.txt"
        return None if receipt.exists() else f"{receipt} is not there"

    def _began_twice(self, entry: Entry) -> bool:
        job = (entry.job or "").rpartition("/")[2]
        return sum(1 for begun, _ in self.starts() if begun == job) > 1

    def receipts(self) -> set[str]:
        """The orders that have one."""
        folder = self.data / "receipts"
        return {path.stem for path in folder.glob("*.txt")} if folder.exists() else set()

    def starts(self) -> list[tuple[str, str]]:
        """Job and order of each time the task began."""
        path = self.data / "starts.txt"
        lines = path.read_text().splitlines() if path.exists() else []
        return [(job, order) for job, order in (line.split() for line in lines)]

    def stand(self) -> str:
        receipts = len(self.receipts())
        return f"{len(self.accepted)} accepted, {receipts} done"

    def cells(self) -> tuple[str, ...]:
        done, accepted = len(self.receipts()), len(self.accepted)
        state = "succeeded" if done == ORDERS == accepted else f"{done} receipts"
        return f"POST /orders/1 to /orders/{ORDERS}", f"{accepted} accepted", state, "", ""

    async def settle(self, show: Callable[[], None]) -> None:
        """Wait for as long as receipts keep coming, then for what the jobs say of themselves."""
        before, since = -1, time.monotonic()
        while (now := len(self.receipts())) < ORDERS and time.monotonic() - since < PATIENCE:
            if now > before:
                before, since = now, time.monotonic()
            elif time.monotonic() - since > 2 and await self._is_over():
                break
            show()
            await asyncio.sleep(0.05)
        with suppress(ActFailed):  # what has not ended is counted, and shown as lost
            await self.ledger.follow(self.accepted, show, seconds=PATIENCE)

    async def _is_over(self) -> bool:
        """Whether every job that has no receipt has ended, or is unknown: then none will come."""
        open_entries = [entry for entry in self.accepted if entry.missing(entry)]
        await self.ledger.ask(open_entries)
        return all(entry.is_over for entry in open_entries)


async def kills(demo: Demo, act: str) -> None:
    orders = Orders(demo.data, demo.ledger, act)
    counter = Counter(orders.cells)
    sending = asyncio.create_task(orders.send())
    try:
        with demo.screen.board([counter]) as show:
            await until(
                lambda: len(orders.accepted) >= FIRST_KILL, show, seconds=20, what="orders", every=0.005
            )
            await _kill_server(demo, orders)
            await _start(demo, orders, show)
            await until(lambda: _is_mid_work(orders), show, seconds=20, what="receipts", every=0.01)
            await _kill_all(demo, orders)
            await _start(demo, orders, show)
            await orders.settle(show)
            await sending
    finally:
        sending.cancel()
    _tell(demo, orders)


def _is_mid_work(orders: Orders) -> bool:
    return len(orders.accepted) == ORDERS and len(orders.receipts()) >= SECOND_KILL


async def _kill_server(demo: Demo, orders: Orders) -> None:
    orders.server_is_up.clear()
    pid = demo.server.pid
    await demo.server.kill()
    demo.screen.say(f"  SIGKILL to the server (process {pid}): {orders.stand()}", style="bold red")


async def _kill_all(demo: Demo, orders: Orders) -> None:
    orders.server_is_up.clear()
    killed = await demo.server.kill_tree()
    demo.screen.say(
        f"  SIGKILL to server and worker ({killed} processes): {orders.stand()}", style="bold red"
    )


async def _start(demo: Demo, orders: Orders, show: Callable[[], None]) -> None:
    receipts, starts, began = orders.receipts(), len(orders.starts()), time.monotonic()
    await demo.server.start()
    up = time.monotonic() - began
    orders.server_is_up.set()

    def is_back() -> bool:
        return any(order in orders.receipts() - receipts for _, order in orders.starts()[starts:])

    await until(is_back, show, seconds=40, what="the first receipt after the start", every=0.01)
    back = time.monotonic() - began
    demo.screen.say(
        f"  started again: answers after {up:.1f} s, first receipt after {back:.1f} s", style="bold green"
    )


def _tell(demo: Demo, orders: Orders) -> None:
    missing = [entry for entry in orders.accepted if not entry.is_done]
    if orders.unanswered:
        demo.screen.say(
            f"  {orders.unanswered} requests got no answer, so nothing was promised; they were sent again"
        )
    if missing:
        shown = ", ".join(f"{entry.request} ({entry.state})" for entry in missing[:5])
        raise ActFailed(f"{len(missing)} accepted orders did not come to their end: {shown}")
