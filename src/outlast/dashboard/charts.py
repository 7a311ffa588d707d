"""The pictures: where each bar and each point goes, in a box of `WIDTH` by `HEIGHT` that the page stretches. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

WIDTH, HEIGHT = 600.0, 100.0
_GAP = 0.2
"""The part of a bar's room that is left free beside it."""
_LEAST = 1.5
"""The height of a bar that is not nothing."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar, or one part of it."""

    x: float
    y: float
    width: float
    height: float
    kind: str


@dataclass(frozen=True, slots=True)
class Spot:
    """Where a pointer finds out what stands there."""

    x: float
    width: float
    title: str


@dataclass(frozen=True, slots=True)
class Chart:
    """What is to be drawn."""

    bars: list[Bar]
    lines: list[tuple[str, str]]
    """For each its kind, and the way of its pen."""
    area: str
    spots: list[Spot]
    most: float
    """What the top stands for; 0 where there is nothing to draw."""


def bars(columns: Sequence[Sequence[float]], kinds: Sequence[str], titles: Sequence[str] = ()) -> Chart:
    """Bars of parts on top of each other, a kind for each part."""
    most = max((sum(column) for column in columns), default=0.0)
    room = WIDTH / max(1, len(columns))
    drawn = []
    for place, column in enumerate(columns):
        top = HEIGHT
        for part, kind in zip(column, kinds, strict=True):
            if part > 0:
                height = max(_LEAST, part / most * HEIGHT)
                top -= height
                left = place * room + room * _GAP / 2
                drawn.append(Bar(_r(left), _r(top), _r(room * (1 - _GAP)), _r(height), kind))
    return Chart(drawn, [], "", _spots(titles, room), most)


def lines(
    many: Sequence[Sequence[float | None]],
    kinds: Sequence[str],
    titles: Sequence[str] = (),
    *,
    filled: bool = False,
) -> Chart:
    """Lines with gaps where nothing is known. `filled`: the first has an area below it."""
    most = max((value for values in many for value in values if value is not None), default=0.0)
    room = WIDTH / max(1, max(map(len, many), default=1))
    drawn = [(kind, _way(values, most, room)) for kind, values in zip(kinds, many, strict=True)]
    area = _area(many[0], most, room) if filled and many else ""
    return Chart([], drawn, area, _spots(titles, room), most)


def _spots(titles: Sequence[str], room: float) -> list[Spot]:
    return [Spot(_r(place * room), _r(room), title) for place, title in enumerate(titles)]


def _way(values: Sequence[float | None], most: float, room: float) -> str:
    return " ".join(
        f"M{points[0]}L{' '.join(points[1:])}" if len(points) > 1 else _dash(points[0], room)
        for points in _stretches(values, most, room)
    )


def _dash(point: str, room: float) -> str:
    """What stands alone is as wide as its step."""
    x, _, y = point.partition(",")
    return f"M{_r(float(x) - room / 2):g},{y}L{_r(float(x) + room / 2):g},{y}"


def _area(values: Sequence[float | None], most: float, room: float) -> str:
    ways = []
    for points in _stretches(values, most, room):
        first, last = points[0].partition(",")[0], points[-1].partition(",")[0]
        ways.append(f"M{first},{HEIGHT:g}L{' '.join(points)} {last},{HEIGHT:g}Z")
    return " ".join(ways)


def _stretches(values: Sequence[float | None], most: float, room: float) -> list[list[str]]:
    """The points of each stretch in which something is known."""
    points = [
        None if value is None else f"{_r((place + 0.5) * room):g},{_r(HEIGHT - _share(value, most)):g}"
        for place, value in enumerate(values)
    ]
    return [
        [point for point in some if point]
        for known, some in groupby(points, key=lambda point: point is not None)
        if known
    ]


def _share(value: float, most: float) -> float:
    return value / most * HEIGHT if most else 0.0


def _r(number: float) -> float:
    return round(number, 2)
