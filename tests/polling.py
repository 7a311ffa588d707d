"""Asking again until something is so: of what other processes write and the kernel knows, nobody is told.

The only places where tests sleep. Where an event can be had, in a test's own process or through a pipe, it is awaited.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

_PAUSE = 0.005
T = TypeVar("T")


def polled(condition: Callable[[], T | None], within: float) -> T | None:
    """What `condition` returns once it is true; None if it is not so within so many seconds."""
    give_up = time.monotonic() + within
    while not (found := condition()):
        if time.monotonic() > give_up:
            return None
        time.sleep(_PAUSE)
    return found


async def apolled(condition: Callable[[], T | None], within: float) -> T | None:
    """`polled` without blocking the loop."""
    give_up = time.monotonic() + within
    while not (found := condition()):
        if time.monotonic() > give_up:
            return None
        await asyncio.sleep(_PAUSE)
    return found
