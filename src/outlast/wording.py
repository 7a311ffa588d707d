"""How people are told of durations, sizes and what a job carries: in every command and on every page. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from outlast.job import JobRecord

_STEPS = ((86400.0, "d"), (3600.0, "h"), (60.0, "m"))
_LONGEST = 2000
"""Characters of one argument or result that people are shown."""


# ---- numbers and times -----------------------------------------------------------------------------------------------


def span(duration: timedelta) -> str:
    """A duration to read: `0.25 s`, `12 s`, `5 m`, `2 h`, `3 d`."""
    seconds = abs(duration.total_seconds())
    if seconds < 10:
        return f"{seconds:.2g} s"
    size, unit = next((step for step in _STEPS if round(seconds) >= step[0]), (1.0, "s"))
    number = round(seconds / size, 1)
    return f"{number:.0f} {unit}" if number >= 10 or number % 1 == 0 else f"{number} {unit}"


def took(duration: timedelta) -> str:
    """`span`, by the millisecond for what takes less than a second."""
    if timedelta(0) < duration < timedelta(seconds=1):
        return f"{duration.total_seconds() * 1000:.3g} ms"
    return span(duration)


def since(then: datetime, now: datetime) -> str:
    """`5 m ago`, or `in 5 m` for what is ahead."""
    return f"in {span(then - now)}" if then > now else f"{span(now - then)} ago"


def short_id(job_id: str) -> str:
    """The end of an id, which is enough to name it."""
    return job_id[-12:]


def size(count: int) -> str:
    """Bytes to read."""
    number = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000 or unit == "GB":
            break
        number /= 1000
    return f"{count} B" if unit == "B" else f"{number:.1f} {unit}"


def counted(count: int, one: str, many: str | None = None) -> str:
    """`1 job`, `1,200 jobs`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


# ---- what a job carries ----------------------------------------------------------------------------------------------


def arguments(job: JobRecord, told: Callable[[Any], str] | None = None) -> list[tuple[str, str]]:
    """Its arguments by name, as `told` tells them (`readable`); those that went into `*args` together."""
    told = told or readable
    given = carried(job.luggage)
    if not isinstance(given, dict):
        return [("?", _cut(str(given)))]
    if "$" in given:  # what stands for them, as they could not be read
        return [("?", told(given))]
    return [(name.removeprefix("**"), told(value)) for name, value in given.items()]


def readable(value: Any) -> str:
    """A value as a person would write it: `{"$": ["date", "2026-01-01"]}` is `date('2026-01-01')`."""
    return _cut(written(value))


def result(job: JobRecord) -> str:
    """What the task returned."""
    return "None" if job.result is None else readable(parsed(job.result))


def written(value: Any) -> str:
    """`readable`, however long."""
    if isinstance(value, dict):
        kind = value.get("$")
        if isinstance(kind, list) and kind:
            return _tagged(str(kind[0]), kind[1:])
        return "{" + ", ".join(f"{key!r}: {written(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(written, value)) + "]"
    return repr(value)


def _tagged(kind: str, payload: list[Any]) -> str:
    """A file is told by its name, type and size.

    An instance begins with the name of its class; a checksum of the fields may stand before them.
    """
    if kind == "file" and len(payload) == 4:
        return _file(*payload[1:])
    if kind == "stored" and len(payload) == 2:
        return f"({size(payload[1])} in the stored file {payload[0]})"
    if len(payload) > 1 and isinstance(payload[0], str) and ":" in payload[0]:
        kind, payload = payload[0].partition(":")[2], payload[1:]
        payload = payload[1:] if len(payload) > 1 and isinstance(payload[0], int) else payload
    if len(payload) == 1 and isinstance(payload[0], dict) and "$" not in payload[0]:
        return f"{kind}({', '.join(f'{key}={written(item)}' for key, item in payload[0].items())})"
    return f"{kind}({', '.join(map(written, payload))})"


def _file(filename: Any, headers: Any, length: int) -> str:
    types = [value for key, value in headers if key.lower() == "content-type"]
    return f"file({', '.join([written(filename), *types, size(length)])})"


def _cut(text: str) -> str:
    if len(text) <= _LONGEST:
        return text
    return f"{text[:_LONGEST]} … ({len(text):,} characters in all; --json prints them)"


def carried(luggage: str) -> Any:
    """The arguments as they are stored, without the checksum of the annotations, which is no argument."""
    found = parsed(luggage)
    if isinstance(found, dict):
        found.pop("@", None)
    return found


def parsed(text: str) -> Any:
    """A row that somebody damaged is shown as it is."""
    try:
        return json.loads(text)
    except ValueError:
        return text
