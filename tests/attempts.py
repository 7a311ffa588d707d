"""What an attempt needs beside its job, for tests that run one by themselves."""

from collections.abc import Callable
from typing import Any

from outlast.job import Claimed
from outlast.queue import TaskQueue

QUEUE = TaskQueue(store="sqlite://", worker="external")
"""One that registers nothing and knows no app."""


async def in_no_thread(job: Claimed, work: Callable[[], Any]) -> Any:
    """For attempts of tasks that declare no dependencies."""
    raise AssertionError(f"{job.task} has dependencies")
