"""What running attempts tell of themselves, progress and log lines: gathered, sent on in batches, and written.

1. Whoever tells something waits for nothing: it is put down, and a thread sends it on, five times a second at most.
2. Of progress the newest is sent; of lines the last ones, in bounds: who writes more than that loses the oldest.
3. The end of an attempt sends what it has told until then, so that this comes before its outcome.

The thread is begun when something is told for the first time: tasks that tell nothing pay nothing.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from outlast.clock import Clock
from outlast.errors import NotConfirmed, StoreUnusable
from outlast.job import Claimed, Line, Step, Told
from outlast.store import LINES, Store
from outlast.worker import events

PAUSE = 0.2
"""Seconds from one batch to the next."""
_MOST_TEXT = 262_144
"""Characters of the lines of one attempt in one batch."""

Send = Callable[[list[Told]], None]


class Teller:
    """Takes what the attempts of one process tell; `send` is called from any thread, for one batch at a time."""

    def __init__(self, send: Send, clock: Clock) -> None:
        self.clock = clock
        self._send = send
        self._untold: dict[tuple[str, int], _Untold] = {}
        self._putting = (
            threading.RLock()
        )  # what is put into words, or collected meanwhile, may itself tell something
        self._sending = threading.Lock()
        self._news = threading.Event()
        self._thread: threading.Thread | None = None

    def step(self, job: Claimed, step: Step) -> None:
        """How far an attempt is."""
        with self._putting:
            self._of(job).step = step

    def line(self, job: Claimed, line: Line) -> None:
        """A line that an attempt wrote."""
        with self._putting:
            self._of(job).add(line)

    def flush(self, job: Claimed) -> None:
        """Send what an attempt has told until now; when this returns it has been sent, by us or by the thread."""
        with self._sending:
            with self._putting:
                untold = self._untold.pop((job.id, job.attempt), None)
            if untold is not None:
                self._send([untold.told(job.id, job.attempt)])

    def _of(self, job: Claimed) -> _Untold:
        key = (job.id, job.attempt)
        untold = self._untold.get(key)
        if untold is None:
            untold = self._untold[key] = _Untold()
            self._news.set()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="outlast-teller", daemon=True)
                self._thread.start()
        return untold

    def _run(self) -> None:
        while True:
            self._news.wait()
            self._flush_all()
            time.sleep(PAUSE)

    def _flush_all(self) -> None:
        with self._sending:
            with self._putting:
                self._news.clear()
                untold, self._untold = self._untold, {}
            if untold:
                self._send([each.told(*key) for key, each in untold.items()])


class _Untold:
    """What one attempt has told and nobody has sent."""

    __slots__ = ("lines", "size", "step")

    def __init__(self) -> None:
        self.step: Step | None = None
        self.lines: deque[Line] = deque()
        self.size = 0

    def add(self, line: Line) -> None:
        self.lines.append(line)
        self.size += len(line.text)
        while len(self.lines) > LINES or self.size > _MOST_TEXT:
            self.size -= len(self.lines.popleft().text)

    def told(self, job_id: str, attempt: int) -> Told:
        return Told(job_id, attempt, self.step, [*self.lines])


class Unwritten:
    """What attempts have told, and the store has still to take. For one thread."""

    def __init__(self) -> None:
        self._told: dict[tuple[str, int], Told] = {}

    def __bool__(self) -> bool:
        return bool(self._told)

    def add(self, told: Told) -> None:
        """To what the same attempt has told before."""
        fence = (told.id, told.attempt)
        self._told[fence] = _merged(self._told[fence], told) if fence in self._told else told

    def write(self, store: Store) -> None:
        """Within the caller's transaction: who has committed it forgets what was written, by `clear`.

        Raises StoreError, and whatever else comes of what was told.
        """
        if self._told:
            store.keep([*self._told.values()])

    def write_one_by_one(self, store: Store) -> None:
        """And forget it: what cannot be written of one is lost, and takes nothing else with it.

        Raises NotConfirmed and StoreUnusable, and then has what was not written.
        """
        for fence, told in list(self._told.items()):
            try:
                store.keep([told])
            except (NotConfirmed, StoreUnusable):
                raise
            except Exception as error:
                events.not_kept(told.id, error)
            del self._told[fence]

    def clear(self) -> None:
        """It has been written, or is no longer ours to write."""
        self._told.clear()


def _merged(earlier: Told, later: Told) -> Told:
    """Two batches of one attempt as one."""
    return Told(later.id, later.attempt, later.step or earlier.step, (earlier.lines + later.lines)[-LINES:])


def told_from(message: list[Any], ahead: int) -> Told:
    """What came over a socket; times are put forward by so much (µs)."""
    job_id, attempt, step, lines = message
    said = None if step is None else Step(*step)
    return Told(
        job_id,
        attempt,
        said and said._replace(at=said.at + ahead),
        [Line(number, at + ahead, *rest) for number, at, *rest in lines],
    )
