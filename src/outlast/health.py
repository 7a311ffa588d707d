"""Whether the jobs of a store are being taken care of: for load balancers, orchestrators and people.

It is well as long as the store answers, a worker lives whose claims are answered, and, if that is asked for, no job has
been ready for longer than it should.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from outlast.clock import to_instant
from outlast.store import Store
from outlast.store.liveness import living

STALE = timedelta(minutes=1)
"""A worker says every few seconds when its last claim was answered; after this long something is wrong with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """How the jobs of a store are doing."""

    problems: tuple[str, ...]
    """What is wrong, in sentences; empty when all is well."""
    claimed: timedelta | None
    """How long ago the store last answered a worker's claim; None when no worker that lives has made one."""
    oldest: timedelta | None
    """For how long the oldest job that could start has been ready; None when there is none."""
    workers: int
    """Workers that live."""


def health_of(store: Store, *, late: timedelta | None = None, claimed_at: int | None = None) -> Health:
    """What a store says. `late`: how long a job may be ready before that is a problem.

    `claimed_at`: when a claim of the worker that asks was last answered (µs); without it, that of any worker counts.
    Raises StoreError.
    """
    now = to_instant(store.clock.now())
    workers = living(store)
    claims = [worker.claimed_at for worker in workers if worker.claimed_at is not None]
    last = max(claims, default=None) if claimed_at is None else to_instant(claimed_at)
    ready = [depth.oldest for depth in store.depths() if depth.oldest is not None and not depth.is_paused]
    claimed = None if last is None else max(timedelta(0), now - last)
    oldest = max(timedelta(0), now - min(ready)) if ready else None
    return Health(
        problems=tuple(_problems(len(workers), claimed, oldest, late)),
        claimed=claimed,
        oldest=oldest,
        workers=len(workers),
    )


def _problems(
    workers: int, claimed: timedelta | None, oldest: timedelta | None, late: timedelta | None
) -> list[str]:
    problems = []
    if not workers:
        problems.append("No worker is alive.")
    elif claimed is None:
        problems.append("No worker has asked for jobs yet.")
    elif claimed > STALE:
        problems.append(f"No claim was answered for {claimed.total_seconds():.0f} s.")
    if late is not None and oldest is not None and oldest > late:
        problems.append(f"A job has been ready for {oldest.total_seconds():.0f} s.")
    return problems
