"""Keys of a peer in the benchmark's Redis database."""

from __future__ import annotations

from redis import Redis

from peers.names import REDIS


def clean(*patterns: str) -> None:
    """Remove the keys that match."""
    with Redis.from_url(REDIS) as client:
        for pattern in patterns:
            keys = list(client.scan_iter(pattern, count=1000))
            for at in range(0, len(keys), 1000):
                client.unlink(*keys[at : at + 1000])


def left() -> list[str]:
    """The keys that are there."""
    with Redis.from_url(REDIS) as client:
        return [key.decode() for key in client.scan_iter()]
