"""The lines that are kept with a job: what its code writes through `logging`, and what it prints if that is asked for.

They are taken where every logger hands its records to the handlers, once the handlers have had them. A handler of ours
on the root logger would change what the user's logging does: `basicConfig` would do nothing, what nobody handles would
no more be shown on standard error, and a configuration read later would take it off.
"""

from __future__ import annotations

import logging
import sys
import traceback
from contextlib import suppress
from contextvars import ContextVar
from typing import Any, TextIO

from outlast.worker.surroundings import STDOUT, Surroundings, surroundings
from outlast.worker.tracking import storable

_NOTHING, _OUTPUT = "nothing", "output"
_LONGEST = 4_000
"""Characters kept of one line."""
_is_handling: ContextVar[bool] = ContextVar("outlast_is_handling", default=False)
"""Whether a record is being handled: what its handlers print is no line of its own, and what its words log neither."""
_is_installed = False


def install(capture: str) -> None:
    """Keep what is logged in attempts of this process from now on; with `output` also what they print."""
    global _is_installed
    if capture == _NOTHING:
        return
    if not _is_installed:
        _is_installed = True
        _follow_loggers()
    if capture == _OUTPUT and not isinstance(sys.stdout, _Printed) and sys.stdout is not None:
        sys.stdout = _Printed(sys.stdout)


def _follow_loggers() -> None:
    handle = logging.Logger.callHandlers

    def call_handlers(logger: logging.Logger, record: logging.LogRecord) -> None:
        around = surroundings()
        if around is None or around.teller is None or _is_handling.get():
            return handle(logger, record)
        token = _is_handling.set(True)
        try:
            handle(logger, record)
            around.tell_line(record.levelno, record.name, _worded(record))
        finally:
            _is_handling.reset(token)

    logging.Logger.callHandlers = call_handlers  # type: ignore[method-assign, assignment]


def _worded(record: logging.LogRecord) -> str:
    """Its message, with the traceback that belongs to it. Nothing that its arguments do goes further than this."""
    try:
        text = record.getMessage()
    except Exception as error:
        text = f"{record.msg!r} (its arguments do not fit it: {error!r})"
    with suppress(Exception):
        if record.exc_info and record.exc_info[0] is not None:
            text = f"{text}\n{''.join(traceback.format_exception(*record.exc_info)).rstrip()}"
        if record.stack_info:
            text = f"{text}\n{record.stack_info}"
    return cut(text)


def cut(text: str) -> str:
    """A line as it is kept: no longer than that, and in characters that every store takes."""
    if len(text) > _LONGEST:
        text = f"{text[:_LONGEST]} [… {len(text) - _LONGEST:,} characters left out]"
    return storable(text)


class _Printed:
    """Standard output that also keeps what an attempt prints, line by line."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        around = surroundings()
        if around is None or _is_handling.get():
            return self._stream.write(text)
        token = _is_handling.set(True)  # the stream may be one that logs what it is given, as Celery's does
        try:
            return self._stream.write(text)
        finally:
            _is_handling.reset(token)
            _tell(around, text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _tell(around: Surroundings, text: str) -> None:
    """What has no end of line yet is kept until that comes, or the attempt is over."""
    *lines, around.unended = (around.unended + text).split("\n")
    for line in lines:
        around.tell_line(logging.INFO, STDOUT, cut(line))
    if len(around.unended) > _LONGEST:
        rest, around.unended = around.unended, ""
        around.tell_line(logging.INFO, STDOUT, cut(rest))
