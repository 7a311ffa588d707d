"""The kinds of value that are no JSON of their own: a tag, the parts that it is written by, what makes it of them.

Pure. `outlast.luggage.parcel` puts it to use; instances of the user's own classes are in `outlast.luggage.instances`.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from functools import partial
from math import isfinite
from pathlib import PosixPath, PurePosixPath, PureWindowsPath, WindowsPath
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo


class Kind(NamedTuple):
    """One kind: `make(*parts(value))` is equal to the value. Parts may be of any kind themselves."""

    tag: str
    parts: Callable[[Any], Iterable[Any]]
    make: Callable[..., Any]


def is_unicode(text: str) -> bool:
    """Whether `text` has a UTF-8, as a lone surrogate has not."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def has_json(value: object) -> bool:
    """Whether JSON text has a place for this plain value that every reader takes: jsonb takes no NUL, for one."""
    match value:
        case str():
            return "\0" not in value and is_unicode(value)
        case bool() | None:
            return True
        case int():
            return value.bit_length() < 64
        case float():
            return isfinite(value)
    return False


def _escape(text: str) -> list[str]:
    return [json.dumps(text)[1:-1]]


def _unescape(text: str) -> str:
    return str(json.loads(f'"{text}"'))


def _instant(value: datetime | time) -> list[Any]:
    zone = value.tzinfo
    if zone is None or _is_iso(zone):
        return [value.isoformat(), 1] if value.fold else [value.isoformat()]
    return [value.replace(tzinfo=None).isoformat(), value.fold, zone]


def _of_instant(
    kind: type[datetime] | type[time], text: str, fold: int = 0, zone: tzinfo | None = None
) -> Any:
    value = kind.fromisoformat(text)
    return value.replace(fold=fold, tzinfo=zone or value.tzinfo)


def _offset(zone: timezone) -> list[Any]:
    offset = zone.utcoffset(None)
    return [offset] if _is_bare_offset(zone) else [offset, zone.tzname(None)]


def _is_iso(zone: tzinfo) -> bool:
    """Whether `fromisoformat` makes the zone anew; it misreads microseconds of an offset."""
    return _is_bare_offset(zone) and not (zone.utcoffset(None) or timedelta()).microseconds


def _is_bare_offset(zone: tzinfo) -> bool:
    """A fixed offset without a name of its own."""
    return type(zone) is timezone and repr(zone) == repr(timezone(zone.utcoffset(None)))


def _of_pydantic_offset(seconds: float) -> Any:
    from pydantic_core import TzInfo

    return TzInfo(seconds)


def _of_items(kind: type, *items: Any) -> Any:
    return kind(items)


def _of_pairs(*pairs: tuple[Any, Any]) -> dict[Any, Any]:
    return dict(pairs)


def _text(value: object) -> list[str]:
    return [str(value)]


KINDS: dict[type, Kind] = {
    # What a plain kind looks like where `has_json` is false of a value.
    str: Kind("str", _escape, _unescape),
    int: Kind("int", lambda value: [hex(value)], partial(int, base=16)),
    float: Kind("float", lambda value: [repr(value)], float),
    dict: Kind("dict", dict.items, _of_pairs),
    tuple: Kind("tuple", list, partial(_of_items, tuple)),
    set: Kind("set", list, partial(_of_items, set)),
    frozenset: Kind("frozenset", list, partial(_of_items, frozenset)),
    datetime: Kind("datetime", _instant, partial(_of_instant, datetime)),
    time: Kind("time", _instant, partial(_of_instant, time)),
    date: Kind("date", lambda value: [value.isoformat()], date.fromisoformat),
    timedelta: Kind("timedelta", lambda value: [value.days, value.seconds, value.microseconds], timedelta),
    timezone: Kind("timezone", _offset, timezone),
    ZoneInfo: Kind("zoneinfo", lambda value: [value.key], ZoneInfo),
    UUID: Kind("uuid", _text, UUID),
    Decimal: Kind("decimal", _text, Decimal),
    complex: Kind("complex", lambda value: [value.real, value.imag], complex),
    range: Kind("range", lambda value: [value.start, value.stop, value.step], range),
    slice: Kind("slice", lambda value: [value.start, value.stop, value.step], slice),
    bytes: Kind("bytes", lambda value: [b64encode(value).decode()], b64decode),
    bytearray: Kind(
        "bytearray", lambda value: [b64encode(value).decode()], lambda text: bytearray(b64decode(text))
    ),
    PosixPath: Kind("path", _text, PosixPath),
    WindowsPath: Kind("windows path", _text, WindowsPath),
    PurePosixPath: Kind("pure path", _text, PurePosixPath),
    PureWindowsPath: Kind("pure windows path", _text, PureWindowsPath),
}

_PYDANTIC_OFFSET = Kind("offset", lambda value: [value.utcoffset(None).total_seconds()], _of_pydantic_offset)

MAKERS: dict[str, Callable[..., Any]] = {kind.tag: kind.make for kind in (*KINDS.values(), _PYDANTIC_OFFSET)}


def kind_of(cls: type) -> Kind | None:
    """The kind of the values of exactly this class. Pydantic's own is told by its name, as it may not be loaded."""
    known = KINDS.get(cls)
    if known is None and cls.__name__ == "TzInfo" and cls.__module__.startswith("pydantic_core"):
        return _PYDANTIC_OFFSET
    return known
