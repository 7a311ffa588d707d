"""A traceback as it is read: frame by frame, the code of the app apart from that of libraries. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_FRAME = re.compile(r'^\s*File "(?P<file>.+)", line (?P<line>\d+)(?:, in (?P<function>.+))?$')
_LIBRARIES = re.compile(r"(site-packages|dist-packages|lib/python3[.\d]*|[/\\]outlast)[/\\]|^<")
_MOST_LINES = 400
_LONGEST_LINE = 2000
_MOST = 60_000
"""Characters that a page shows; the whole is a file of its own."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A place in the code, with its source where it is known."""

    file: str
    line: str
    function: str
    source: str
    is_own: bool
    """It is the app's code, not a library's."""


@dataclass(frozen=True, slots=True)
class Trace:
    """Frames and what is said between and after them, in their order."""

    parts: list[Frame | str]
    is_cut: bool


def read(text: str) -> Trace:
    """The parts of a traceback; text of another kind is one part."""
    shown, is_cut = _shown(text.strip("\n"))
    return Trace(list(_parts(shown.splitlines())), is_cut)


def _shown(text: str) -> tuple[str, bool]:
    """Its beginning and, of more interest, its end."""
    lines = [
        line if len(line) <= _LONGEST_LINE else f"{line[:_LONGEST_LINE]} …" for line in text.splitlines()
    ]
    is_cut = len(lines) > _MOST_LINES or len(text) > _MOST
    if len(lines) > _MOST_LINES:
        left_out = len(lines) - _MOST_LINES
        lines = [*lines[: _MOST_LINES // 4], f"… {left_out:,} lines …", *lines[-3 * _MOST_LINES // 4 :]]
    shown = "\n".join(lines)
    if len(shown) > _MOST:
        shown = f"{shown[: _MOST // 4]}\n…\n{shown[-3 * _MOST // 4 :]}"
    return shown, is_cut


def _parts(lines: list[str]) -> Iterator[Frame | str]:
    said: list[str] = []
    frame: re.Match[str] | None = None
    source: list[str] = []
    for line in [*lines, ""]:
        is_source = frame is not None and line.startswith("    ") and not _FRAME.match(line)
        if is_source:
            source.append(line)
            continue
        if frame is not None:
            yield _frame(frame, source)
            source = []
        frame = _FRAME.match(line)
        if frame is None:
            said.append(line)
        elif (text := "\n".join(said).strip("\n")) or said:
            if text and not text.startswith("Traceback (most recent call last)"):
                yield text
            said = []
    if text := "\n".join(said).strip("\n"):
        yield text


def _frame(found: re.Match[str], source: list[str]) -> Frame:
    """Its source without the marks that point into it, and without what it is indented by."""
    lines = [line for line in source if line.strip(" ~^")]
    indent = min((len(line) - len(line.lstrip()) for line in lines), default=0)
    return Frame(
        file=found["file"],
        line=found["line"],
        function=found["function"] or "",
        source="\n".join(line[indent:] for line in lines),
        is_own=_LIBRARIES.search(found["file"]) is None,
    )
