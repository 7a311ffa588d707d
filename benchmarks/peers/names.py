"""Where the peers' jobs lie: a Redis database and queue names that nothing else uses, or a database of PostgreSQL."""

from __future__ import annotations

import os

QUEUE = "outlast-bench"
REDIS_DATABASE = 13
REDIS = f"redis://127.0.0.1:6379/{REDIS_DATABASE}"
RABBITMQ = "amqp://guest:guest@127.0.0.1:5672"
BROKER = os.environ.get("BENCH_BROKER", "redis")
"""`redis` or `rabbitmq`, for those that work with both."""
DATABASE = os.environ.get("BENCH_DATABASE", "")
"""The URL of the PostgreSQL database, for those that keep their jobs in one."""
CONNECTIONS = int(os.environ.get("BENCH_CONNECTIONS", "10"))
"""Connections of a process to it, for those that have a pool."""
