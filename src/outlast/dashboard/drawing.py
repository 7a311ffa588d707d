"""Fills the templates. Everything that comes from jobs is escaped: nothing here marks a text as safe."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from functools import cache
from importlib.resources import files
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request

from outlast import wording
from outlast.job import JobRecord
from outlast.store import QUEUED_VIEWS

THEME_COOKIE = "outlast_theme"
ZONE_COOKIE = "outlast_zone"
_THEMES = ("light", "dark")
_BRIEF = 60
"""Characters of one argument in a list of jobs."""


@dataclass(frozen=True, slots=True)
class Visit:
    """One request, as the templates need it."""

    base: str
    """What links begin with: relative, so that they hold under any path and behind any proxy."""
    theme: str | None
    """The one chosen; None where the system's own goes."""
    zone: tzinfo
    """Where the reader's clock stands."""
    may_act: bool
    is_fragment: bool
    """Whether only the live part is asked for."""


def visit_of(request: Request) -> Visit:
    """How this request is to be answered."""
    theme = request.cookies.get(THEME_COOKIE)
    return Visit(
        base=base_of(request),
        theme=theme if theme in _THEMES else None,
        zone=_zone(request.cookies.get(ZONE_COOKIE, "")),
        may_act=getattr(request.state, "may_act", False),
        is_fragment=request.headers.get("hx-request") == "true",
    )


def base_of(request: Request) -> str:
    """The way from the page that is asked for to the first page of the dashboard: `./`, `../`, …"""
    path = request.scope["path"].removeprefix(request.scope.get("root_path", ""))
    return "../" * (path.count("/") - 1) or "./"


def draw(template: str, visit: Visit, told: Mapping[str, Any]) -> str:
    """A template with what it tells of."""
    return _environment().get_template(template).render(visit=visit, asset=_asset, **told)


def static(name: str) -> bytes | None:
    """The content of a static file, if there is one of that name."""
    return _static().get(name)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("outlast.dashboard"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters |= {
        "span": wording.span,
        "size": wording.size,
        "counted": wording.counted,
        "short_id": wording.short_id,
        "carried": _carried,
        "count": lambda number: f"{number:,}",
        "level": _level,
        "took": wording.took,
        "clock": _clock,
        "date": _date,
        "iso": _iso,
        "name": _name,
        "module": _module,
    }
    environment.globals |= {"since": wording.since, "queued_views": QUEUED_VIEWS}
    return environment


@cache
def _static() -> dict[str, bytes]:
    folder = files("outlast.dashboard").joinpath("static")
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}


@cache
def _asset(name: str) -> str:
    """The address of a static file, below the base: another one when its content is."""
    return f"static/{name}?{hashlib.sha256(_static()[name]).hexdigest()[:10]}"


@cache
def _zone(name: str) -> tzinfo:
    """What a cookie says may be anything."""
    try:
        return ZoneInfo(name[:64]) if name else UTC
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return UTC


def _level(number: int) -> str:
    """The word for a level of `logging`."""
    return logging.getLevelName(number - number % 10) if number >= logging.DEBUG else "DEBUG"


def _carried(job: JobRecord) -> str:
    """Its arguments in a line. What a list has of long ones may end in the middle."""
    if not isinstance(wording.parsed(job.luggage), dict):
        return job.luggage[: 3 * _BRIEF]
    return ", ".join(f"{name}={value}" for name, value in wording.arguments(job, _brief))


def _brief(value: Any) -> str:
    told = wording.written(value)
    return told if len(told) <= _BRIEF else f"{told[:_BRIEF]}…"


def _clock(instant: datetime, zone: tzinfo) -> str:
    return f"{instant.astimezone(zone):%H:%M:%S}"


def _date(instant: datetime, zone: tzinfo) -> str:
    return f"{instant.astimezone(zone):%Y-%m-%d %H:%M:%S %Z}"


def _iso(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat(timespec="milliseconds")


def _name(task: str) -> str:
    """The function of a task, without its module."""
    return task.rpartition(":")[2] or task


def _module(task: str) -> str:
    return task.rpartition(":")[0]
