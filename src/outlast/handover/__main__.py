"""How the processes of the handover are begun: `python -P -m outlast.handover relay FD | keep FD`. Not for people."""

from __future__ import annotations

import sys


def main() -> None:
    role, descriptor = sys.argv[1], int(sys.argv[2])
    if role == "relay":
        from outlast.handover.relay import main as relay

        relay(descriptor)
    else:
        from outlast.handover.keeper import main as keep

        keep(descriptor)


if __name__ == "__main__":
    main()
