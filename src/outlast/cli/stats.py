"""`outlast stats`: what lies in a store, who works on it, and how long the oldest job has been waiting."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from outlast.address import is_postgres
from outlast.cli.options import DEFAULT_STORE, JsonOption, StoreOption, same_store
from outlast.cli.printing import Column, coloured, hint, print_facts, print_json, print_table, say
from outlast.wording import short_id, since, size, span

if TYPE_CHECKING:
    from datetime import datetime

    from rich.text import Text

    from outlast.job import JobRecord
    from outlast.store import WorkerRecord

_VIEWS = ("ready", "running", "published", "retrying", "scheduled", "waiting", "held")


def stats(store: StoreOption = DEFAULT_STORE, as_json: JsonOption = False) -> None:
    """Count the jobs, and show queues, workers, the oldest waiting job and the store's size.

    Example: outlast stats
    """
    from outlast.cli.queues import print_queues
    from outlast.cli.records import job_fields, queue_fields, worker_fields
    from outlast.cli.stores import now_of, opened
    from outlast.store.liveness import is_alive

    with opened(store) as open_store:
        url, counts, queues = open_store.url, open_store.counts(), open_store.queues()
        oldest = open_store.oldest_ready()
        workers = {worker.id: (worker, is_alive(open_store, worker)) for worker in open_store.workers()}
        now = now_of(open_store)
    if as_json:
        print_json(
            {
                "store": _place(url),
                "jobs": counts,
                "oldest_ready": None if oldest is None else job_fields(oldest),
                "queues": [queue_fields(queue) for queue in queues],
                "workers": [worker_fields(worker, is_alive=alive) for worker, alive in workers.values()],
            }
        )
        return
    print_facts(
        [
            ("Store", _told_place(url)),
            ("Jobs", _told_counts(counts, _VIEWS)),
            ("Ended", _told_counts(counts, ("succeeded", "failed", "cancelled"))),
            ("Oldest", _told_oldest(oldest, now)),
        ]
    )
    if queues:
        say("")
        print_queues(queues, [worker for worker, alive in workers.values() if alive], now)
    if workers:
        say("")
        _print_workers(list(workers.values()), now)
    _hint(counts, any(alive for _, alive in workers.values()), same_store(store))


def _place(url: str) -> dict[str, Any]:
    """Where the store is, and how many bytes its file takes with its log."""
    if is_postgres(url):
        return {"url": url}
    path = Path(url.removeprefix("sqlite:///"))
    return {
        "url": url,
        "path": str(path),
        "bytes": _bytes(path),
        "log_bytes": _bytes(path.with_name(path.name + "-wal")),
    }


def _bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _told_place(url: str) -> str:
    place = _place(url)
    if "path" not in place:
        return url
    return f"{place['path']}, {size(place['bytes'])} and {size(place['log_bytes'])} of log"


def _told_counts(counts: dict[str, int], views: tuple[str, ...]) -> Text:
    from rich.text import Text

    parts = []
    for view in views:
        count = counts.get(view, 0)
        parts.append(Text(f"{count:,} {view}", style=coloured(view).style if count else "dim"))
    return Text("   ").join(parts)


def _told_oldest(oldest: JobRecord | None, now: datetime) -> str:
    if oldest is None:
        return "no job waits for a worker"
    return f"{oldest.task} has been ready for {span(now - oldest.run_at)}: …{short_id(oldest.id)}"


def _print_workers(workers: list[tuple[WorkerRecord, bool]], now: datetime) -> None:
    columns = [
        Column("worker"),
        Column("process", cut="end"),
        Column("queues", cut="end"),
        Column("slots", is_number=True),
        Column("started"),
        Column("lease"),
    ]
    print_table(columns, (_worker_row(worker, alive, now) for worker, alive in workers))


def _worker_row(worker: WorkerRecord, alive: bool, now: datetime) -> list[str | Text]:
    from outlast.cli.records import queues_of

    return [
        f"…{short_id(worker.id)}",
        f"{worker.host}:{worker.pid}",
        queues_of(worker),
        f"{worker.slots}",
        since(worker.started_at, now),
        _lease(worker, alive, now),
    ]


def _lease(worker: WorkerRecord, alive: bool, now: datetime) -> Text:
    if not alive:
        return coloured("dead", "error")
    if worker.lease_until < now:
        return coloured("overdue", "warning")
    return coloured(f"{span(worker.lease_until - now)} left", "ok")


def _hint(counts: dict[str, int], is_served: bool, suffix: str) -> None:
    if counts.get("failed"):
        hint(f"What failed: outlast jobs list --state failed{suffix}")
    if not is_served and any(counts.get(view) for view in ("ready", "retrying", "scheduled", "waiting")):
        hint(f"No worker is alive; start one: outlast worker main:app{suffix}")
