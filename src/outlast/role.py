"""What this process is. A flag of the process, never of the inherited environment: a task may start a server itself."""

from __future__ import annotations

_in_worker = False


def in_worker() -> bool:
    """Whether this process is a worker's child: for code in a lifespan that must run in the server alone."""
    return _in_worker


def enter_worker() -> None:
    """Declare this process a worker's child. TaskQueue starts nothing here from now on."""
    global _in_worker
    _in_worker = True
