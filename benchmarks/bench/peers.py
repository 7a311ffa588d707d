"""Other task queues on the same machine, each in an environment of its own, with its own worker command and defaults.

Their tasks note their ends in a file (about 2 µs a job), because each broker would have to be asked in another way.
"""

from __future__ import annotations

import socket
import subprocess
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from bench import load, marks
from bench.environments import Environment
from bench.load import Load
from bench.processes import Broken, Started, started
from bench.report import Table
from bench.servers import serving
from bench.setting import Setting
from bench.spread import Spread, quantile

_PORTS = {"redis": 6379, "rabbitmq": 5672}
_STARTS = {
    "redis": "redis-server --port 6379 --save ''",
    "rabbitmq": "rabbitmq-server (its own user guest, password guest)",
}
_INTERVAL = 0.02
_PATIENCE = 120.0
_SERVER = tuple(f"{name}=={version(name)}" for name in ("fastapi", "uvicorn", "uvloop", "httptools"))


@dataclass(frozen=True, slots=True)
class Peer:
    """A task queue and the broker it works with."""

    name: str
    packages: tuple[str, ...]
    worker: str
    """Its documented worker command, with nothing set."""
    broker: str
    jobs: int
    """Jobs of one drain: fewer for the slow."""

    @property
    def label(self) -> str:
        name = "SAQ" if self.name == "saq" else self.name.capitalize()
        return f"{name} ({'Redis' if self.broker == 'redis' else 'RabbitMQ'})"

    @property
    def module(self) -> str:
        return f"{self.name}_app"

    @property
    def home(self) -> Environment:
        return Environment(self.name, (*self.packages, *_SERVER))

    @property
    def environment(self) -> dict[str, str]:
        return {"BENCH_BROKER": self.broker}


_DRAMATIQ = ("dramatiq[redis,rabbitmq]==2.2.1",)
_CELERY = ("celery[redis]==5.7.0",)
PEERS = (
    Peer("dramatiq", _DRAMATIQ, "dramatiq peers.dramatiq_app", "redis", 20_000),
    Peer("dramatiq", _DRAMATIQ, "dramatiq peers.dramatiq_app", "rabbitmq", 20_000),
    Peer(
        "taskiq",
        ("taskiq==0.13.0", "taskiq-redis==1.2.4"),
        "taskiq worker peers.taskiq_app:broker",
        "redis",
        20_000,
    ),
    Peer("saq", ("saq[redis]==0.26.4",), "saq peers.saq_app.settings", "redis", 10_000),
    Peer("huey", ("huey==3.5.4", "redis==8.1.0"), "huey_consumer peers.huey_app.huey", "redis", 20_000),
    Peer("celery", _CELERY, "celery -A peers.celery_app:celery worker", "redis", 10_000),
    Peer("celery", _CELERY, "celery -A peers.celery_app:celery worker", "rabbitmq", 20_000),
)


@dataclass(slots=True)
class Rounds:
    """What was measured of one peer."""

    drained: list[float] = field(default_factory=list)
    loads: list[Load] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)
    """The median of each round, in seconds."""
    flushes: list[float] = field(default_factory=list)
    broke: str = ""


def measure(setting: Setting) -> list[Table]:
    rounds = {peer: Rounds(broke=_missing(peer)) for peer in PEERS}
    ready = [peer for peer, each in rounds.items() if not each.broke]
    for peer in ready:
        peer.home.set_up(setting)
        _clean(peer)  # what an earlier run, killed, may have left
    _check_database(ready)
    for number in range(setting.pick(3, 1)):
        for peer in ready if number % 2 == 0 else reversed(ready):
            if not rounds[peer].broke:
                _measure_one(setting, peer, rounds[peer])
            setting.say(f"round {number + 1}: {_told(peer, rounds[peer])}")
    return [_table(rounds)]


# ---- environments and brokers


def _missing(peer: Peer) -> str:
    with socket.socket() as probe:
        probe.settimeout(1.0)
        if probe.connect_ex(("127.0.0.1", _PORTS[peer.broker])) == 0:
            return ""
    return f"skipped: nothing answers on 127.0.0.1:{_PORTS[peer.broker]}; start {_STARTS[peer.broker]}"


def _check_database(peers: list[Peer]) -> None:
    """Raises Broken when the Redis database that is ours holds something of somebody else's."""
    on_redis = next((peer for peer in peers if peer.broker == "redis"), None)
    left = _peers(on_redis, "left").split() if on_redis else []
    if left:
        raise Broken(
            f"Redis database 13, which the benchmark uses, is not empty ({left[0]}, …); empty it first"
        )


def _clean(peer: Peer) -> None:
    _peers(peer, "clean", peer.module)


def _peers(peer: Peer, *words: str) -> str:
    return peer.home.call("peers", *words, environment=peer.environment, seconds=_PATIENCE)


def _working(peer: Peer, folder: Path, environment: dict[str, str]) -> AbstractContextManager[Started]:
    command, *words = peer.worker.split()
    return started([peer.home.binary(command), *words], folder / "worker.log", environment)


# ---- measuring


def _measure_one(setting: Setting, peer: Peer, rounds: Rounds) -> None:
    rounds.flushes.append(setting.flush_ms())
    try:
        rounds.drained.append(_drain(setting, peer))
        _serve(setting, peer, rounds)
    except Broken as error:
        rounds.broke = "broke, see above"
        setting.say(str(error))
    finally:
        _clean(peer)


def _drain(setting: Setting, peer: Peer) -> float:
    """Jobs/s from the first end to the last, of a backlog that was there before the worker started."""
    folder, count = setting.fresh(f"{peer.name}-drain"), setting.pick(peer.jobs, 1000)
    file = folder / "ends"
    _peers(peer, "fill", peer.module, str(count))
    with _working(peer, folder, peer.environment | {marks.TALLY: str(file)}) as worker:
        worker.wait_until(
            lambda: marks.count(file) >= count, what="the backlog was not drained", seconds=_PATIENCE
        )
    times = [when for _, when in marks.ends(file)]
    return (count - 1) / (max(times) - min(times))


def _serve(setting: Setting, peer: Peer, rounds: Rounds) -> None:
    """Latency on the idle worker, then the endpoint under load with the worker draining."""
    folder = setting.fresh(f"{peer.name}-http")
    ends, latencies = folder / "ends", folder / "latencies"
    environment = peer.environment | {marks.TALLY: str(ends), marks.LATENCIES: str(latencies)}
    app = f"peers.{peer.module}:app"
    with (
        _working(peer, folder, environment) as worker,
        serving(app, folder, environment, python=peer.home.binary("python")) as server,
    ):
        accepted = load.put(server.port, "/task", connections=1, warmup=0.0, seconds=0.3).accepted
        _await_ends(worker, ends, accepted)
        seconds = setting.pick(250, 50) * _INTERVAL
        load.put(server.port, "/latency", connections=1, warmup=0.0, seconds=seconds, interval=_INTERVAL)
        rounds.loads.append(load.put(server.port, "/task", seconds=setting.pick(3, 1)))
        _await_ends(worker, ends, accepted + rounds.loads[-1].accepted)
    rounds.latencies.append(quantile(marks.latencies(latencies), 0.5))


def _await_ends(worker: Started, file: Path, count: int) -> None:
    what = f"{count} accepted tasks did not all run"
    worker.wait_until(lambda: marks.count(file) >= count, what=what, seconds=_PATIENCE)


# ---- telling


def _told(peer: Peer, rounds: Rounds) -> str:
    if rounds.broke:
        return f"{peer.label}: {rounds.broke}"
    return (
        f"{peer.label}: {rounds.drained[-1]:,.0f} jobs/s drained, {rounds.loads[-1].rate:,.0f} requests/s, "
        f"latency p50 {rounds.latencies[-1] * 1e3:.2f} ms"
    )


def _table(rounds: dict[Peer, Rounds]) -> Table:
    columns = ["task queue", "drain, jobs/s", "HTTP, requests/s", "latency p50, ms", "fsync, ms"]
    table = Table("Other task queues, each with its defaults", columns)
    for peer, each in rounds.items():
        if each.broke:
            table.add(peer.label, each.broke, "", "", "")
            continue
        table.add(
            peer.label,
            Spread.of(each.drained).told(),
            Spread.of([load.rate for load in each.loads]).told(),
            Spread.of([latency * 1e3 for latency in each.latencies]).told(2),
            Spread.of(each.flushes).told(2),
        )
    packages = ", ".join(dict.fromkeys(package for peer in rounds for package in peer.packages))
    table.notes.append(f"{packages}. {_brokers()}")
    table.notes.append(
        "None of these waits for a disk before it answers, as Outlast does: Redis writes later, if at all, and nobody "
        "waits for RabbitMQ's confirmation by default."
    )
    return table


def _brokers() -> str:
    told = []
    for command in (["redis-server", "--version"], ["rabbitmqctl", "version"]):
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
            told.append(f"{command[0]}: {done.stdout.strip()}")
        except (OSError, subprocess.TimeoutExpired):
            continue
    return "; ".join(told)
