"""The relay's own clients of Redis: they wait for a short while, and try once."""

from __future__ import annotations

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from outlast.handover.base import PATIENCE


def impatient(client: redis.Redis) -> redis.Redis:
    """A client of the same Redis, with connections of its own, that waits for PATIENCE at most."""
    pool = client.connection_pool
    patience = {
        "socket_timeout": PATIENCE,
        "socket_connect_timeout": PATIENCE,
        "retry": Retry(NoBackoff(), 0),
    }
    return redis.Redis(
        connection_pool=redis.ConnectionPool(
            connection_class=pool.connection_class, **{**pool.connection_kwargs, **patience}
        )
    )
