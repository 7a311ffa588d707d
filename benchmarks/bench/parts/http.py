"""(a) Requests per second of an endpoint that adds one no-op task, with the worker draining on the same machine.

Every round measures each endpoint once, in an order that alternates; ratios are taken within a round, so that what
slows the machine for a while does not favour anyone. After a round of Outlast's its store must hold as many succeeded
jobs as requests were accepted, and nothing else.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field

from bench import durable, load
from bench.load import Load
from bench.processes import Broken, processor_time, started
from bench.report import Table
from bench.servers import Server, free_port, listens, serving
from bench.setting import Setting
from bench.spread import Spread

CONNECTIONS = 32
_MEMORY = "bench.apps.memory:app"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An endpoint that is measured."""

    name: str
    app: str
    path: str

    @property
    def is_durable(self) -> bool:
        return self.app == durable.APP


BASE = Endpoint("in memory, `async def`", _MEMORY, "/async")
DEF = Endpoint("in memory, `def`", _MEMORY, "/def")
SESSION = Endpoint("in memory, `async def`, `yield` session", _MEMORY, "/session")
OUTLAST = Endpoint("Outlast, `async def`", durable.APP, "/async")
OUTLAST_DEF = Endpoint("Outlast, `def`", durable.APP, "/def")
OUTLAST_SESSION = Endpoint("Outlast, `async def`, `yield` session (held jobs)", durable.APP, "/session")
ENDPOINTS = (
    Endpoint("no task", _MEMORY, "/none"),
    BASE,
    DEF,
    SESSION,
    OUTLAST,
    OUTLAST_DEF,
    OUTLAST_SESSION,
)


@dataclass(slots=True)
class Measured:
    """The rounds of one endpoint."""

    loads: list[Load] = field(default_factory=list)
    drains: list[durable.Drained] = field(default_factory=list)
    flushes: list[float] = field(default_factory=list)
    """Before and after each round, because a disk is not always as fast."""
    own_cost: list[float] = field(default_factory=list)
    """Processor time of the server for each request, in microseconds."""
    worker_cost: list[float] = field(default_factory=list)
    """The same of all that runs below the server."""

    def spread(self, name: str, scale: float = 1.0) -> Spread:
        return Spread.of([getattr(each, name) * scale for each in self.loads])

    def ratio_to(self, other: Measured) -> Spread:
        pairs = zip(self.loads, other.loads, strict=True)
        return Spread.of([own.rate / others.rate for own, others in pairs])


def measure(setting: Setting) -> list[Table]:
    ceiling = _ceiling(setting)
    setting.say(f"ceiling of the load generator: {ceiling:,.0f} requests/s")
    measured = {endpoint: Measured() for endpoint in ENDPOINTS}
    for number in range(setting.pick(5, 1)):
        for endpoint in ENDPOINTS if number % 2 == 0 else reversed(ENDPOINTS):
            _measure_one(setting, endpoint, measured[endpoint])
            setting.say(f"round {number + 1}: {_told(endpoint, measured[endpoint])}")
    return [_table(measured, ceiling)]


def _ceiling(setting: Setting) -> float:
    """The rate at which the generator alone is the limit: against a server that does nothing."""
    folder = setting.fresh("ceiling")
    port = free_port()
    with started([sys.executable, "-m", "bench.echo", str(port)], folder / "server.log") as process:
        process.wait_until(lambda: listens(port), what="bench.echo does not listen", seconds=10)
        return load.put(port, "/", connections=CONNECTIONS, seconds=1.0).rate


def _measure_one(setting: Setting, endpoint: Endpoint, measured: Measured) -> None:
    folder = setting.fresh("http" + endpoint.path.replace("/", "-"))
    jobs = durable.Jobs(durable.url_in(folder))
    with serving(endpoint.app, folder, {"OUTLAST_STORE": durable.url_in(folder)}) as server:
        warm = load.put(server.port, endpoint.path, connections=1, warmup=0.0, seconds=0.2)
        if endpoint.is_durable:
            jobs.drained()  # the worker is up, and so is the link to it
        measured.flushes.append(setting.flush_ms())
        before = _processor_times(server)
        result = load.put(server.port, endpoint.path, connections=CONNECTIONS, seconds=setting.pick(3, 1))
        measured.loads.append(result)
        if endpoint.is_durable:
            measured.drains.append(_checked(jobs, result, warm.accepted))
        own, worker = (late - early for early, late in zip(before, _processor_times(server), strict=True))
        measured.own_cost.append(own / result.answers * 1e6)
        measured.worker_cost.append(worker / result.answers * 1e6)
        measured.flushes.append(setting.flush_ms())
    if result.accepted != result.answers:
        raise Broken(f"{endpoint.name}: only {result.accepted} of {result.answers} requests were accepted")


def _processor_times(server: Server) -> tuple[float, float]:
    """What the server and what runs below it have used, in seconds."""
    processes = server.process.tree()
    return processor_time(processes[:1]), processor_time(processes[1:])


def _checked(jobs: durable.Jobs, result: Load, warm: int) -> durable.Drained:
    drained = jobs.drained(since=result.ended)
    accepted = result.accepted + warm
    if drained.succeeded != accepted:
        raise Broken(f"{accepted} requests were accepted, but {drained.succeeded} jobs succeeded")
    return drained


def _told(endpoint: Endpoint, measured: Measured) -> str:
    last = measured.loads[-1]
    text = (
        f"{endpoint.name}: {last.rate:,.0f} requests/s, p50 {last.p50 * 1e3:.2f} ms, p99 {last.p99 * 1e3:.2f} ms, "
        f"{measured.own_cost[-1]:.0f} + {measured.worker_cost[-1]:.0f} µs"
    )
    if measured.drains:
        drain = measured.drains[-1]
        text += f"; backlog {drain.backlog:,} jobs, drained in {drain.seconds:.2f} s"
    return text


def _table(measured: dict[Endpoint, Measured], ceiling: float) -> Table:
    columns = [
        "endpoint",
        "requests/s",
        "ratio",
        "p50, ms",
        "p99, ms",
        "processor, µs",
        "backlog",
        "drained, s",
    ]
    table = Table("(a) HTTP: an endpoint that adds one no-op task", [*columns, "fsync, ms"])
    for endpoint, rounds in measured.items():
        table.add(
            endpoint.name,
            rounds.spread("rate").told(),
            rounds.ratio_to(measured[BASE]).told(2),
            rounds.spread("p50", 1e3).told(2),
            rounds.spread("p99", 1e3).told(2),
            _cost_cell(rounds),
            *_drain_cells(rounds),
            Spread.of(rounds.flushes).told(2),
        )
    table.notes += _notes(measured, ceiling)
    return table


def _cost_cell(rounds: Measured) -> str:
    own, worker = Spread.of(rounds.own_cost), Spread.of(rounds.worker_cost)
    if not own.most:
        return ""
    return f"{own.median:.0f} + {worker.median:.0f}" if rounds.drains else f"{own.median:.0f}"


def _drain_cells(rounds: Measured) -> tuple[str, str]:
    if not rounds.drains:
        return "", ""
    backlogs = Spread.of([drain.backlog for drain in rounds.drains])
    seconds = Spread.of([drain.seconds for drain in rounds.drains])
    return backlogs.told(), seconds.told(2)


def _notes(measured: dict[Endpoint, Measured], ceiling: float) -> list[str]:
    rounds = len(measured[BASE].loads)
    jobs = sum(drain.succeeded for each in measured.values() for drain in each.drains)
    share = max(each.spread("own_share").median for each in measured.values())
    return [
        "ratio: to in-memory `async def` in the same round; backlog: jobs that had not ended when the "
        "last answer had come; drained: how long after it the last one ended.",
        "processor: what the server and, after the plus, the worker used for each request; less in sum "
        "than two cores have means that something waited, for the disk or for its turn.",
        f"{rounds} rounds, {CONNECTIONS} connections; uvicorn with uvloop and httptools, one process. "
        f"The load generator reaches {ceiling:,.0f} requests/s against a server that does nothing, "
        f"and used at most {share:.2f} of a core here.",
        f"Checked: each of the {jobs:,} requests that Outlast accepted became one job that succeeded.",
        "Goals: Outlast `async def` at least 0.5 of in-memory `async def` (here "
        f"{measured[OUTLAST].ratio_to(measured[BASE]).told(2)}), and more than in-memory `def` (here "
        f"{measured[OUTLAST].ratio_to(measured[DEF]).told(2)} times as many). With a `yield` session: "
        f"{measured[OUTLAST_SESSION].ratio_to(measured[SESSION]).told(2)} of the same route in memory.",
    ]
