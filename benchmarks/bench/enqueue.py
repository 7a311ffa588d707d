"""Enqueues many jobs through the bulk call, in a process of its own.

python -m bench.enqueue TASK COUNT BATCH      with OUTLAST_STORE set; prints the seconds it took
"""

from __future__ import annotations

import sys
import time

from bench.apps import durable, endpoints


def main() -> None:
    task, count, batch = getattr(endpoints, sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    durable.queue.ask(lambda store: store.counts())  # the store is there
    began = time.perf_counter()
    for _ in range(count // batch):
        durable.queue.enqueue_many(task, [()] * batch)
    sys.stdout.write(str(time.perf_counter() - began))
    durable.queue.close()


if __name__ == "__main__":
    main()
