"""The brokers that tests use: Redis and RabbitMQ.

Those that OUTLAST_TEST_REDIS and OUTLAST_TEST_RABBITMQ name; else those that listen on the standard ports of this
machine. Whatever tests put there bears a name of their own, and is taken away again. A test that stops or wipes a
broker has one of its own.
"""

from __future__ import annotations

import os
from functools import cache

import pytest


@cache
def redis_url() -> str:
    """The URL of a Redis that all tests share."""
    import redis

    url = os.environ.get("OUTLAST_TEST_REDIS", "redis://127.0.0.1:6379/0")
    try:
        redis.Redis.from_url(url, socket_connect_timeout=3).ping()
    except redis.RedisError as error:
        _missing(f"no Redis at {url} ({error}); start one there, or name one: OUTLAST_TEST_REDIS")
    return url


@cache
def rabbitmq_url() -> str:
    """The URL of a RabbitMQ that all tests share."""
    import pika

    url = os.environ.get("OUTLAST_TEST_RABBITMQ", "amqp://guest:guest@127.0.0.1:5672/%2F")
    try:
        pika.BlockingConnection(pika.URLParameters(url)).close()
    except pika.exceptions.AMQPError as error:
        _missing(f"no RabbitMQ at {url} ({error!r}); start one there, or name one: OUTLAST_TEST_RABBITMQ")
    return url


def _missing(why: str) -> None:
    """In CI nothing may be missing; at home it is said, and the rest is tested."""
    if os.environ.get("CI"):
        pytest.fail(why)
    pytest.skip(why)
