"""Where the peers' jobs lie: a Redis database and queue names that nothing else uses."""

from __future__ import annotations

import os

QUEUE = "outlast-bench"
DATABASE = 13
REDIS = f"redis://127.0.0.1:6379/{DATABASE}"
RABBITMQ = "amqp://guest:guest@127.0.0.1:5672"
BROKER = os.environ.get("BENCH_BROKER", "redis")
"""`redis` or `rabbitmq`, for those that work with both."""
