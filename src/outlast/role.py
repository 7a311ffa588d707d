"""What this process is. A flag of the process, never of the inherited environment: a task may start a server itself."""

from __future__ import annotations

_in_worker = False
_is_importing = False


def in_worker() -> bool:
    """Whether this process is a worker's child: for code in a lifespan that must run in the server alone."""
    return _in_worker


def enter_worker() -> None:
    """Declare this process a worker's child, about to import the app. TaskQueue starts nothing here from now on."""
    global _in_worker, _is_importing
    _in_worker = _is_importing = True


def is_importing() -> bool:
    """Whether this child is still importing the app: a server that starts meanwhile was started by the import."""
    return _is_importing


def has_imported() -> None:
    """The app is imported; from now on its lifespan may run here."""
    global _is_importing
    _is_importing = False
