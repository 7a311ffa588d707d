"""The load generator: a process of its own that keeps a number of connections busy, each with one request at a time.

    python -m bench.load PORT PATH [--connections 32] [--warmup 0.5] [--seconds 3] [--interval 0]

It is plain sockets and one selector, so that it costs the server's machine little; `bench.echo` shows its ceiling.
When the time is over it sends no more, waits for the answers under way, and prints one line of JSON: what was
answered in the measured time, and how many answers of each status there were in all.
"""

from __future__ import annotations

import argparse
import json
import resource
import selectors
import socket
import sys
import time
from array import array
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

from bench.processes import run
from bench.spread import quantile

_clock = time.perf_counter
_MOST_REQUESTS = 500_000
_PATIENCE = 20.0
"""Seconds without any answer after which the server is given up."""


@dataclass(frozen=True, slots=True)
class Load:
    """What came of a load."""

    rate: float
    """Requests answered per second of the measured time."""
    p50: float
    """Seconds."""
    p99: float
    answers: int
    """Answers in all, with those of the warm-up."""
    accepted: int
    """Those of them with a 2xx."""
    ended: float
    """When the last answer had come, in seconds since 1970."""
    own_share: float
    """The share of a core that the generator itself used."""


def put(
    port: int,
    path: str,
    *,
    connections: int = 32,
    warmup: float = 0.5,
    seconds: float = 3.0,
    interval: float = 0.0,
) -> Load:
    """Load a server from a process of its own."""
    options = {"connections": connections, "warmup": warmup, "seconds": seconds, "interval": interval}
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    printed = run(
        [sys.executable, "-m", "bench.load", str(port), path, *words],
        seconds=warmup + seconds + _PATIENCE + 10,
    )
    return Load(**json.loads(printed))


class Connection:
    """One keep-alive connection with at most one request under way."""

    __slots__ = ("_buffer", "began", "socket")

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.began = 0.0
        self._buffer = b""

    def send(self, request: bytes, now: float) -> None:
        self.began = now
        self.socket.send(request)

    def receive(self) -> int | None:
        """The status of an answer that has come whole, else None."""
        data = self.socket.recv(65536)
        if not data:
            raise ConnectionError("the server closed the connection")
        if self._buffer:
            data = self._buffer + data
        end = data.find(b"\r\n\r\n")
        if end < 0 or len(data) < end + 4 + _length(data[:end]):
            self._buffer = data
            return None
        self._buffer = b""
        return int(data[9:12])


def _length(head: bytes) -> int:
    """The content length that a head names."""
    at = head.find(b"content-length: ")
    if at < 0:
        raise ValueError(f"an answer without a content length: {head!r}")
    at += 16
    end = head.find(b"\r\n", at)
    return int(head[at:] if end < 0 else head[at:end])


class Generator:
    """Keeps connections busy until a time, then lets them come to rest."""

    def __init__(self, port: int, path: str, connections: int, interval: float) -> None:
        self._request = (
            f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-length: 0\r\n\r\n".encode()
        )
        self._connections = [Connection(port) for _ in range(connections)]
        self._interval = interval
        self.latencies = array("d")
        self.statuses: Counter[int] = Counter()

    def run(self, warmup: float, seconds: float) -> float:
        """Make the load; returns the seconds that the measured part really took."""
        began = _clock()
        if self._interval:
            self._run_paced(began + warmup, began + warmup + seconds)
        else:
            self._run_busy(began + warmup, began + warmup + seconds)
        return seconds

    def _run_paced(self, measured_from: float, end: float) -> None:
        """One connection, one request each interval; one that comes late does not hurry the next."""
        connection = self._connections[0]
        due = _clock()
        while (now := _clock()) < end:
            time.sleep(max(0.0, due - now))
            due = max(due, _clock()) + self._interval
            connection.send(self._request, _clock())
            while (status := connection.receive()) is None:
                pass
            self._note(status, connection.began, measured_from, end)

    def _run_busy(self, measured_from: float, end: float) -> None:
        request, left = self._request, _MOST_REQUESTS
        with selectors.DefaultSelector() as selector:
            for connection in self._connections:
                selector.register(connection.socket, selectors.EVENT_READ, connection)
                connection.send(request, _clock())
            busy = len(self._connections)
            while busy:
                events = selector.select(_PATIENCE)
                if not events:
                    raise TimeoutError(f"no answer within {_PATIENCE:g} s")
                for key, _ in events:
                    connection = key.data
                    status = connection.receive()
                    if status is None:
                        continue
                    now = self._note(status, connection.began, measured_from, end)
                    left -= 1
                    if now < end and left > 0:
                        connection.send(request, now)
                    else:
                        selector.unregister(connection.socket)
                        busy -= 1

    def _note(self, status: int, began: float, measured_from: float, end: float) -> float:
        now = _clock()
        self.statuses[status] += 1
        if measured_from <= now < end:
            self.latencies.append(now - began)
        return now


def measure(words: argparse.Namespace) -> Load:
    generator = Generator(words.port, words.path, words.connections, words.interval)
    used, began = _processor_time(), _clock()
    seconds = generator.run(words.warmup, words.seconds)
    ended = time.time()
    share = (_processor_time() - used) / (_clock() - began)
    latencies, statuses = generator.latencies, generator.statuses
    return Load(
        rate=len(latencies) / seconds,
        p50=quantile(latencies, 0.5),
        p99=quantile(latencies, 0.99),
        answers=statuses.total(),
        accepted=sum(count for status, count in statuses.items() if 200 <= status < 300),
        ended=ended,
        own_share=share,
    )


def _processor_time() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _words() -> Any:
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("path")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--warmup", type=float, default=0.5)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--interval", type=float, default=0.0)
    return parser.parse_args()


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asdict(measure(_words()))))
