"""The brokers that tests use: Redis and RabbitMQ.

Those that OUTLAST_TEST_REDIS and OUTLAST_TEST_RABBITMQ name; else those that listen on the standard ports of this
machine. Whatever tests put there bears a name of their own, and is taken away again. A test that stops or wipes a
broker has one of its own.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import suppress
from functools import cache
from typing import NoReturn

import pytest

from tests.polling import polled
from tests.postgresql import free_port


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


def _missing(why: str) -> NoReturn:
    """In CI nothing may be missing; at home it is said, and the rest is tested."""
    if os.environ.get("CI"):
        pytest.fail(why)
    pytest.skip(why)


class RedisServer:
    """A Redis of a test's own, which it may stop, kill, wipe and start again. It keeps nothing on disk."""

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        import redis

        command = [_redis_server(), "--port", str(self.port), "--bind", "127.0.0.1", "--save", ""]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

        def answers() -> bool:
            with suppress(redis.RedisError):
                return bool(redis.Redis.from_url(self.url).ping())
            return False

        assert polled(answers, 20), "the Redis of the test does not start"

    def signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """What it had is lost."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@cache
def _redis_server() -> str:
    found = shutil.which("redis-server") or shutil.which("valkey-server")
    if found is None:
        _missing("no redis-server to start one for a test; install Debian's redis-server, or another's")
    return found
