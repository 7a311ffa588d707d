"""How the worker's own processes are begun: `python -P -m outlast.worker supervise FD | child FD | describe FD`.

Not for people: `outlast worker` is. A process of its own, never a multiprocessing spawn, which would import the user's
`__main__`; and -P, so that a module of the user's named like one of the standard library's is not taken for it.
"""

from __future__ import annotations

import json
import logging
import os
import sys


def main() -> int:
    role, descriptor = sys.argv[1], int(sys.argv[2])
    if role == "child":
        from outlast.worker.child import main as child

        child(descriptor)
        return 0
    if role == "describe":
        from outlast.worker.describe import answer

        return answer(descriptor)
    from outlast.errors import OutlastError
    from outlast.worker import log
    from outlast.worker.settings import Settings
    from outlast.worker.supervisor import Supervisor

    settings = Settings.from_message(json.loads(_line(descriptor)))
    log.set_up(settings.log_level)
    try:
        return Supervisor(settings, host=descriptor if settings.hosted else None).run()
    except OutlastError as error:
        logging.getLogger("outlast.worker").error("%s", error)
        return 2


def _line(descriptor: int) -> bytes:
    """The first line; byte by byte, so that what follows (the host's end) stays in the pipe."""
    line = b""
    while not line.endswith(b"\n"):
        byte = os.read(descriptor, 1)
        if not byte:
            raise SystemExit(1)
        line += byte
    return line


if __name__ == "__main__":
    sys.exit(main())
