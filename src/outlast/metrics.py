"""The numbers of a store as Prometheus reads them. Needs prometheus-client: `pip install "outlast[metrics]"`.

All of them are asked of the store when they are read. So they are the same from whatever process tells them, and
counters go on over restarts; scrape one process of a store, whichever it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from outlast.statistics import BOUNDS, Histogram, Statistics
from outlast.store import Depth, Store, WorkerRecord
from outlast.store.liveness import living

if TYPE_CHECKING:
    from prometheus_client.core import Metric

    Ask = Callable[[Callable[[Store], "Numbers"]], "Numbers"]

Numbers = tuple[float, list[Depth], list[Statistics], list[WorkerRecord]]
MISSING = "metrics need prometheus-client here: pip install 'outlast[metrics]'"


def numbers_of(store: Store) -> Numbers:
    """What is asked of a store: the time, and what there is. Raises StoreError."""
    return store.clock.now() / 1e6, store.depths(), store.totals(), living(store)


def exposed(numbers: Numbers, accept: str = "") -> tuple[str, bytes]:
    """The content type that a client accepts, and the numbers as such. Raises ImportError without prometheus-client."""
    from prometheus_client import CollectorRegistry
    from prometheus_client.exposition import choose_encoder

    registry = CollectorRegistry(auto_describe=False)
    registry.register(Collector(lambda _: numbers))
    encode, kind = choose_encoder(accept)
    body: bytes = encode(registry)
    return kind, body


class Collector:
    """The numbers of a store for a registry of prometheus-client's: `REGISTRY.register(queue.collector)`."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    def describe(self) -> Iterable[Metric]:
        """Nothing: the store is not asked when a registry is made."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Ask the store. Raises StoreError."""
        now, depths, totals, workers = self._ask(numbers_of)
        yield from _of_jobs(now, depths)
        yield from _of_attempts(totals)
        yield from _of_workers(now, workers)


def _of_jobs(now: float, depths: list[Depth]) -> Iterator[Metric]:
    from prometheus_client.core import GaugeMetricFamily

    jobs = GaugeMetricFamily("outlast_jobs", "Jobs that have not ended.", labels=["queue", "view"])
    oldest = GaugeMetricFamily(
        "outlast_oldest_ready_seconds",
        "For how long the oldest job that could start is ready.",
        labels=["queue"],
    )
    paused = GaugeMetricFamily("outlast_queue_paused", "1 for a queue that is paused.", labels=["queue"])
    for depth in depths:
        jobs.add_metric([depth.queue, depth.view], depth.jobs)
        if depth.oldest is not None:
            oldest.add_metric([depth.queue], max(0.0, now - depth.oldest.timestamp()))
        if depth.is_paused:
            paused.add_metric([depth.queue], 1)
    return iter((jobs, oldest, paused))


def _of_attempts(totals: list[Statistics]) -> Iterator[Metric]:
    from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily

    names = ["task", "queue"]
    started = CounterMetricFamily("outlast_claims", "Attempts that were claimed and begun.", labels=names)
    retried = CounterMetricFamily(
        "outlast_retries", "Attempts that failed and are tried again.", labels=names
    )
    released = CounterMetricFamily("outlast_releases", "Attempts given back unharmed.", labels=names)
    ended = CounterMetricFamily(
        "outlast_jobs_ended", "Jobs that have ended.", labels=[*names, "state", "reason"]
    )
    run = HistogramMetricFamily("outlast_run_seconds", "How long attempts took.", labels=names)
    late = HistogramMetricFamily(
        "outlast_start_delay_seconds", "How long after they were due attempts began.", labels=names
    )
    for each in totals:
        which = [each.task, each.queue]
        started.add_metric(which, each.started)
        retried.add_metric(which, each.retried)
        released.add_metric(which, each.released)
        for (state, reason), count in _ends(each).items():
            ended.add_metric([*which, state, reason], count)
        run.add_metric(which, _buckets(each.run), each.run.total.total_seconds())
        late.add_metric(which, _buckets(each.late), each.late.total.total_seconds())
    return iter((started, retried, released, ended, run, late))


def _ends(each: Statistics) -> Mapping[tuple[str, str], int]:
    failed = {("failed", str(reason)): count for reason, count in each.failed.items()}
    return {("succeeded", ""): each.succeeded, ("cancelled", ""): each.cancelled, **failed}


def _buckets(histogram: Histogram) -> list[Any]:
    bounds = [*(f"{bound.total_seconds()}" for bound in BOUNDS), "+Inf"]
    return list(zip(bounds, accumulate(histogram.counts), strict=True))


def _of_workers(now: float, workers: list[WorkerRecord]) -> Iterator[Metric]:
    from prometheus_client.core import GaugeMetricFamily

    alive = GaugeMetricFamily("outlast_workers", "Workers that are alive.", value=len(workers))
    slots = GaugeMetricFamily(
        "outlast_slots", "Jobs that these can run at once.", value=sum(worker.slots for worker in workers)
    )
    claimed = GaugeMetricFamily(
        "outlast_last_claim_age_seconds",
        "How long ago the store answered a worker's claim.",
        labels=["worker"],
    )
    for worker in workers:
        if worker.claimed_at is not None:
            claimed.add_metric([worker.id], max(0.0, now - worker.claimed_at.timestamp()))
    return iter((alive, slots, claimed))
