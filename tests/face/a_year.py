"""Print the least processor seconds, of ten tries, that a year of retries and delays takes in the test queue.

Run as a process of its own: in that of a whole suite, the threads and the memory that others left are measured too.
"""

import logging
import time
from datetime import timedelta

from fastapi import FastAPI

from outlast import RetryPolicy, TaskQueue
from outlast.testing.queue import in_hand

queue = TaskQueue(FastAPI())
DAY = timedelta(days=1)


@queue.task(max_attempts=100, retry=RetryPolicy(delay=timedelta(seconds=1), max_delay=timedelta(days=50)))
def comes_back_after_a_year(until: float):
    if queue.clock.now() < until * 1e6:
        raise ConnectionError


@queue.task
async def weekly():
    await weekly.options(delay=7 * DAY).aenqueue()


def a_year() -> float:
    """Processor seconds of a job whose retries back off to forty days, and of one that comes back each week."""
    with in_hand() as jobs:
        began = time.process_time()
        retried = comes_back_after_a_year.enqueue((jobs.now + 340 * DAY).timestamp())
        weekly.enqueue()
        ran = jobs.advance(days=365)
        took = time.process_time() - began
        assert retried.state == "succeeded"
        assert (retried.attempt, len(ran)) == (23, 23 + 53)
    return took


if __name__ == "__main__":
    logging.disable()  # 22 tracebacks a year
    print(min(a_year() for _ in range(10)))
