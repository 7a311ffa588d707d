"""The log of the worker's own processes on standard error: in uvicorn's form, coloured where a person sees it."""

from __future__ import annotations

import logging
import os
import sys

_COLOURS = {"DEBUG": 36, "INFO": 32, "WARNING": 33, "ERROR": 31, "CRITICAL": 91}
_WORDS = {"succeeded": 32, "failed": 31, "retrying": 33, "cancelled": 35}
"""What became of a job, as the first word of its line."""
_DIM = 2


def set_up(level: str) -> None:
    """Log from this level on."""
    handler = logging.StreamHandler()
    handler.setFormatter(Form(is_coloured=sys.stderr.isatty() and not os.environ.get("NO_COLOR")))
    logging.basicConfig(level=level, handlers=[handler])


class Form(logging.Formatter):
    """`INFO:     outlast.worker: message`."""

    def __init__(self, *, is_coloured: bool) -> None:
        super().__init__()
        self._is_coloured = is_coloured

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 (logging's name)
        gap = " " * (9 - len(record.levelname))
        level = self._painted(record.levelname, _COLOURS.get(record.levelname, 0))
        word, space, rest = record.message.partition(" ")
        told = self._painted(word, _WORDS[word]) + space + rest if word in _WORDS else record.message
        return f"{level}:{gap}{self._painted(f'{record.name}:', _DIM)} {told}"

    def _painted(self, text: str, colour: int) -> str:
        return f"\033[{colour}m{text}\033[0m" if self._is_coloured else text
