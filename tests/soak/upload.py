"""What a large upload costs in memory: one goes through a real server into a task, which reads it piece by piece.

    .venv/bin/python tests/soak/upload.py            # 1 GiB
    .venv/bin/python tests/soak/upload.py 4096       # MiB

Fails where the server or the worker's child takes more than 50 MiB beyond what it had before.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[2])]
os.environ.setdefault("TEST_PATIENCE", "600")

from tests.worker.harness import House  # noqa: E402
from tests.worker.uploads import APP, Server  # noqa: E402

MIB = 1 << 20
ALLOWED = 50 * MIB


def main(size: int) -> int:
    with tempfile.TemporaryDirectory(prefix="outlast-upload-") as folder:
        house = House(Path(folder))
        try:
            house.write("app", APP)
            return measured(Server(house), size)
        finally:
            house.close()


def measured(server: Server, size: int) -> int:
    small = server.house.result(server.upload(b"x" * 2 * MIB).json()["id"])
    before = server.most_memory()
    path = server.house.folder / "large"
    with path.open("wb") as file:
        file.truncate(size)
    began = time.monotonic()
    with path.open("rb") as file:
        job = server.upload(file, "large").json()["id"]
    answered = time.monotonic()
    told = server.house.result(job)
    ended = time.monotonic()
    grew = {"server": server.most_memory() - before, "worker's child": told["grew"]}
    assert told["size"] == size
    assert told["pid"] == small["pid"]
    print(f"{size / MIB:,.0f} MiB: answered after {answered - began:.1f} s, done after {ended - began:.1f} s")
    for process, more in grew.items():
        print(f"{process}: {more / MIB:.1f} MiB more than before, {ALLOWED / MIB:.0f} are allowed")
    return int(max(grew.values()) > ALLOWED)


if __name__ == "__main__":
    sys.exit(main(int((sys.argv[1:] or ["1024"])[0]) * MIB))
