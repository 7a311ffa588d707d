"""Called in a peer's environment.

    python -m peers fill MODULE COUNT     enqueue no-op jobs
    python -m peers clean MODULE          remove what it left in its broker
    python -m peers left                  print the keys in the benchmark's Redis database

Needs only what that environment has: the standard library, FastAPI and the peer.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import sys


def main() -> None:
    verb, *rest = sys.argv[1:]
    if verb == "left":
        from peers.keys import left

        sys.stdout.write("\n".join(left()))
        return
    module = importlib.import_module(f"peers.{rest[0]}")
    if verb == "clean":
        module.clean()
    elif inspect.iscoroutinefunction(module.fill):
        asyncio.run(module.fill(int(rest[1])))
    else:
        module.fill(int(rest[1]))


if __name__ == "__main__":
    main()
