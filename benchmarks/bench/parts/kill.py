"""Killed in mid-work: 500 tasks of 20 ms, SIGKILL to server and worker after 150 have ended, a restart."""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable
from dataclasses import dataclass

from bench import durable, load, marks
from bench.processes import Broken, has_proc, kill_at_once
from bench.report import Table
from bench.servers import serving
from bench.setting import Setting
from bench.spread import Spread

_TASKS, _BEFORE = 500, 150
_ROWS = (
    ("ended before the kill", "ended_before", 0, ""),
    ("not run within 45 s of the restart", "not_run", 0, "0"),
    ("run twice", "run_twice", 0, ""),
    ("from the new server's start to the first job that ends, s", "first_end", 2, "under 1"),
    ("from the new server's start to the last, s", "all_done", 2, ""),
)
_WINDOW = 45.0
"""Seconds after the restart in which every task should have run."""


Ends = list[tuple[int, float]]


@dataclass(frozen=True, slots=True)
class Killed:
    """What one kill came to."""

    ended_before: int
    not_run: int
    run_twice: int
    first_end: float
    """Seconds from the start of the new server to the first job that ends."""
    all_done: float
    flush: float


def measure(setting: Setting) -> list[Table]:
    if not has_proc():
        setting.say("skipped: this system does not tell which processes are a worker's (Linux does)")
        return []
    rounds = []
    for number in range(setting.pick(3, 1)):
        rounds.append(_measure_one(setting))
        last = rounds[-1]
        setting.say(
            f"round {number + 1}: killed after {last.ended_before} of {_TASKS}, not run {last.not_run}, "
            f"first end after {last.first_end:.2f} s, all after {last.all_done:.2f} s"
        )
    return [_table(rounds)]


def _measure_one(setting: Setting) -> Killed:
    folder, flush = setting.fresh("kill"), setting.flush_ms()
    file = folder / "ends"
    environment = {"OUTLAST_STORE": durable.url_in(folder), marks.TALLY: str(file)}
    with serving(durable.APP, folder, environment) as server:
        load.put(server.port, "/async", connections=1, warmup=0.0, seconds=0.2)
        durable.Jobs(durable.url_in(folder)).drained()
        victims = server.process.tree()
        _post(server.port, f"/naps/{_TASKS}")
        _wait(lambda: marks.count(file) >= _BEFORE, pause=0.0005)
        kill_at_once(victims)
    before = marks.ends(file)
    restarted = marks.now()
    with serving(durable.APP, folder, environment):
        _wait(lambda: len({number for number, _ in marks.ends(file)}) == _TASKS, pause=0.01)
    after = marks.ends(file)[len(before) :]
    return _told(before, after, restarted, flush)


def _post(port: int, path: str) -> None:
    """From this process: the first tasks end before another could be started to ask."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("POST", path)
    if connection.getresponse().status != 200:
        raise Broken(f"{path} was refused")
    connection.close()


def _wait(happened: Callable[[], bool], pause: float) -> None:
    """Until it has happened, or the window is over: what then has not run is the figure."""
    deadline = time.monotonic() + _WINDOW
    while not happened() and time.monotonic() < deadline:
        time.sleep(pause)


def _told(before: Ends, after: Ends, restarted: float, flush: float) -> Killed:
    ran = [number for number, _ in before + after]
    return Killed(
        ended_before=len(before),
        not_run=_TASKS - len(set(ran)),
        run_twice=len(ran) - len(set(ran)),
        first_end=min((when for _, when in after), default=restarted + _WINDOW) - restarted,
        all_done=max((when for _, when in after), default=restarted + _WINDOW) - restarted,
        flush=flush,
    )


def _table(rounds: list[Killed]) -> Table:
    table = Table(f"Killed in mid-work: {_TASKS} tasks of 20 ms", ["what", "figure", "goal", "fsync, ms"])
    flush = Spread.of([each.flush for each in rounds]).told(2)
    for what, name, digits, goal in _ROWS:
        spread = Spread.of([getattr(each, name) for each in rounds])
        table.add(what, spread.told(digits), goal, flush)
    table.notes.append(
        "`def` tasks that sleep; SIGKILL to the server, the supervisor and its children in one go, then the server is "
        f"started again. {len(rounds)} rounds. A task counts as ended once its last line has run: those run twice had "
        "ended, but their end was not settled yet when the worker was killed."
    )
    return table
