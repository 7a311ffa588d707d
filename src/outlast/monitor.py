"""The answers to `/metrics` and `/healthz`, whoever serves them: an app, or a worker on its own."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import NamedTuple

from outlast import metrics
from outlast.clock import to_duration
from outlast.errors import StoreError
from outlast.health import Health, health_of
from outlast.store import Store

_JSON, _TEXT = "application/json", "text/plain; charset=utf-8"


class Answer(NamedTuple):
    """What goes back over HTTP."""

    status: int
    kind: str
    body: bytes


def health(store: Store, late: str | None = None, claimed_at: int | None = None) -> Answer:
    """200 when all is well, else 503 with what is not; 400 for a `late` that is no duration."""
    try:
        bound = None if late is None else to_duration(late)
    except ValueError as error:
        return Answer(400, _JSON, _json({"detail": str(error)}))
    try:
        found = health_of(store, late=bound, claimed_at=claimed_at)
    except StoreError as error:
        return store_is_away(error)
    return _told(found)


def _told(found: Health) -> Answer:
    body = {
        "status": "failing" if found.problems else "ok",
        "problems": found.problems,
        "claimed_seconds_ago": _seconds(found.claimed),
        "oldest_ready_seconds": _seconds(found.oldest),
        "workers": found.workers,
    }
    return Answer(503 if found.problems else 200, _JSON, _json(body))


def _seconds(duration: timedelta | None) -> float | None:
    return None if duration is None else duration.total_seconds()


def store_is_away(error: StoreError) -> Answer:
    """Without its words, which name the store: strangers may ask, and the log has them."""
    problem = f"The store does not answer: {type(error).__name__}."
    return Answer(503, _JSON, _json({"status": "failing", "problems": [problem]}))


def metrics_of(store: Store, accept: str = "") -> Answer:
    """What Prometheus reads; 501 without prometheus-client, 503 when the store is away."""
    try:
        return Answer(200, *metrics.exposed(metrics.numbers_of(store), accept))
    except ImportError:
        return Answer(501, _TEXT, f"{metrics.MISSING}\n".encode())
    except StoreError as error:
        return Answer(503, _TEXT, f"the store does not answer: {type(error).__name__}\n".encode())


def _json(value: object) -> bytes:
    return json.dumps(value).encode()
