"""(c) Latency on an idle worker: from just before `add_task` in the handler to the first line of the task."""

from __future__ import annotations

from bench import durable, load, marks
from bench.processes import Broken
from bench.report import Table
from bench.servers import serving
from bench.setting import Setting
from bench.spread import Spread, quantile

INTERVAL = 0.02
_TOLD = ((0.5, "p50", "under 2"), (0.99, "p99", "under 10"), (1.0, "most", ""))


def measure(setting: Setting) -> list[Table]:
    rounds, flushes = [], []
    for number in range(setting.pick(3, 1)):
        flushes.append(setting.flush_ms())
        rounds.append(_measure_one(setting))
        told = ", ".join(f"{name} {quantile(rounds[-1], share) * 1e3:.2f} ms" for share, name, _ in _TOLD)
        setting.say(f"round {number + 1}: {told} ({len(rounds[-1])} jobs)")
    return [_table(rounds, flushes)]


def _measure_one(setting: Setting) -> list[float]:
    folder = setting.fresh("latency")
    url, file = durable.url_in(folder), folder / "latencies"
    with serving(durable.APP, folder, {"OUTLAST_STORE": url, marks.LATENCIES: str(file)}) as server:
        load.put(server.port, "/async", connections=1, warmup=0.0, seconds=0.3)
        durable.Jobs(url).drained()
        seconds = setting.pick(600, 100) * INTERVAL
        sent = load.put(
            server.port, "/latency", connections=1, warmup=0.0, seconds=seconds, interval=INTERVAL
        )
        durable.Jobs(url).drained()
    latencies = marks.latencies(file)
    if len(latencies) != sent.accepted:
        raise Broken(f"{sent.accepted} requests were accepted, but {len(latencies)} tasks told their latency")
    return latencies


def _table(rounds: list[list[float]], flushes: list[float]) -> Table:
    table = Table("(c) Latency: from `add_task` to the task's first line", ["", "ms", "goal", "fsync, ms"])
    for share, name, goal in _TOLD:
        spread = Spread.of([quantile(latencies, share) * 1e3 for latencies in rounds])
        table.add(name, spread.told(2), goal, Spread.of(flushes).told(2))
    jobs = " + ".join(f"{len(latencies):,}" for latencies in rounds)
    table.notes.append(
        f"Idle worker beside a uvicorn server, one request each {INTERVAL * 1e3:.0f} ms adding one `async def` job; "
        f"{jobs} jobs. In it: the job's flush to disk, the response's start, and the way to the child."
    )
    return table
