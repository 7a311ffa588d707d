"""How a command ends: its exit codes, and errors as one red line on standard error."""

from __future__ import annotations

import signal
import sys
from typing import Any

import typer
from typer.core import TyperGroup

from outlast.errors import JobNotFound, OutlastError

FINE = 0
"""Done, or answered."""
NOT_SO = 1
"""What was asked for is not so: a job failed, cannot be retried, a check found errors; or you said no."""
UNUSABLE = 2
"""The command was misspelt, or its store or app cannot be used."""
NOT_FOUND = 3
"""There is no such job or queue."""
TIMED_OUT = 4
"""The time given to wait was over."""
INTERRUPTED = 130
"""Ctrl-C."""


class Failure(Exception):
    """Ends a command with one line of error and this exit code."""

    def __init__(self, message: str, code: int = NOT_SO) -> None:
        super().__init__(message)
        self.code = code


class Commands(TyperGroup):
    """All commands. Whatever they raise on purpose becomes a line and a code; a defect keeps its traceback."""

    def main(self, *args: Any, **extra: Any) -> Any:
        code = UNUSABLE
        try:
            code = super().main(*args, **{**extra, "standalone_mode": False}) or FINE
        except typer.Abort:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # pressed again, it is heard already
            complain("stopped; nothing was changed")
            code = INTERRUPTED
        except Exception as error:
            code = _told(error)
        sys.exit(code)


def complain(message: str) -> None:
    """Say on standard error what is wrong."""
    from outlast.cli.printing import errors, plain_text

    errors().print(plain_text(message), style="red", soft_wrap=True)


def _told(error: Exception) -> int:
    if isinstance(error, Failure):
        complain(str(error))
        return error.code
    if isinstance(error, OutlastError):
        complain(str(error))
        return NOT_FOUND if isinstance(error, JobNotFound) else UNUSABLE
    if hasattr(error, "format_message"):  # an error of usage; Typer has carried more than one class for these
        complain(_usage(error))
        return UNUSABLE
    raise error


def _usage(error: Any) -> str:
    message = error.format_message().strip().rstrip(".")
    context = getattr(error, "ctx", None)
    return message if context is None else f"{message}; see {context.command_path} --help"
