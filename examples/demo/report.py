"""Computes the weather report: from the CSV file to an HTML page with a chart. Pure but for reading the file."""

import csv
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from pathlib import Path
from statistics import fmean

from examples.demo import pages

SEATTLE = Path(__file__).parent / "data" / "seattle-weather.csv"


@dataclass(frozen=True, slots=True)
class Day:
    date: date
    rain: float
    """Millimetres."""
    high: float
    """Degrees Celsius."""
    low: float


@dataclass(frozen=True, slots=True)
class Month:
    first: date
    rain: float
    high: float
    low: float


def render(source: Path) -> str:
    """The whole page."""
    days = read(source)
    return pages.report(
        period=f"{days[0].date.year} to {days[-1].date.year}",
        days=f"{len(days):,}",
        tiles="".join(_tile(*tile) for tile in _tiles(days)),
        chart=_chart(_months(days)),
        years="".join(_year_row(year, list(of_year)) for year, of_year in groupby(days, _year)),
    )


def read(source: Path) -> list[Day]:
    with source.open(newline="") as file:
        return [
            Day(
                date.fromisoformat(row["date"]),
                *(float(row[name]) for name in ("rain_mm", "high_c", "low_c")),
            )
            for row in csv.DictReader(file)
        ]


def _year(day: Day) -> int:
    return day.date.year


# ---- figures -------------------------------------------------------------------------------------------------------


def _tiles(days: list[Day]) -> list[tuple[str, str, str]]:
    """What stands out: a label, a figure, and when that was."""
    hottest = max(days, key=lambda day: day.high)
    coldest = min(days, key=lambda day: day.low)
    wettest = max(days, key=lambda day: day.rain)
    dry = _longest_run(days, lambda day: day.rain == 0)
    return [
        ("Hottest day", f"{hottest.high:.1f} °C", _day(hottest.date)),
        ("Coldest night", f"{_minus(coldest.low)} °C", _day(coldest.date)),
        ("Most rain in a day", f"{wettest.rain:.1f} mm", _day(wettest.date)),
        ("Longest dry spell", f"{len(dry)} days", f"from {_day(dry[0].date)}"),
    ]


def _longest_run(days: list[Day], is_in: Callable[[Day], bool]) -> list[Day]:
    return max((list(run) for fits, run in groupby(days, is_in) if fits), key=len)


def _months(days: list[Day]) -> list[Month]:
    months = groupby(days, lambda day: day.date.replace(day=1))
    return [_month(first, list(of_month)) for first, of_month in months]


def _month(first: date, days: list[Day]) -> Month:
    return Month(
        first,
        sum(day.rain for day in days),
        fmean(day.high for day in days),
        fmean(day.low for day in days),
    )


def _tile(label: str, figure: str, when: str) -> str:
    return f"<div><dt>{label}</dt><dd>{figure}<small>{when}</small></dd></div>\n"


def _year_row(year: int, days: list[Day]) -> str:
    rain = sum(day.rain for day in days)
    wet = sum(1 for day in days if day.rain > 0)
    cells = (
        f"{rain:,.0f}",
        f"{wet}",
        f"{fmean(day.high for day in days):.1f}",
        f"{fmean(day.low for day in days):.1f}",
    )
    return f"<tr><th scope=row>{year}</th>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>\n"


def _day(when: date) -> str:
    return f"{when.day} {when:%B %Y}"


def _minus(figure: float) -> str:
    return f"{figure:.1f}".replace("-", "\N{MINUS SIGN}")


# ---- the chart: temperatures above, rain below, on one line of time ------------------------------------------------

WIDTH, LEFT, RIGHT = 960, 44, 12
WARM_TOP, WARM_BOTTOM = 34, 274
RAIN_TOP, RAIN_BOTTOM = 336, 470
WARMEST, WETTEST = 30, 300
"""The upper ends of the two scales: degrees Celsius, and millimetres a month."""


def _chart(months: list[Month]) -> str:
    return "\n".join([*_warm_panel(months), *_rain_panel(months), *_time_axis(months)])


def _warm_panel(months: list[Month]) -> Iterable[str]:
    highs = [(_x(number + 0.5, months), _warm_y(month.high)) for number, month in enumerate(months)]
    lows = [(_x(number + 0.5, months), _warm_y(month.low)) for number, month in enumerate(months)]
    yield f'<text class="title" x="0" y="{WARM_TOP - 18}">Mean daily high and low, °C</text>'
    for degrees in range(0, WARMEST + 1, 10):
        yield from _grid(_warm_y(degrees), str(degrees))
    yield f'<polygon class="range" points="{_points([*highs, *reversed(lows)])}"/>'
    yield f'<polyline class="high" points="{_points(highs)}"/>'
    yield f'<polyline class="low" points="{_points(lows)}"/>'
    for month, (x, high_y), (_, low_y) in zip(months, highs, lows, strict=True):
        tip = f"{month.first:%B %Y}: {month.high:.1f} °C by day, {_minus(month.low)} °C by night"
        yield (
            f'<g class="tip"><title>{tip}</title>'
            f'<rect x="{x - 9.4:.1f}" y="{WARM_TOP}" width="18.8" height="{WARM_BOTTOM - WARM_TOP}"/>'
            f'<circle class="high" cx="{x:.1f}" cy="{high_y:.1f}" r="3.5"/>'
            f'<circle class="low" cx="{x:.1f}" cy="{low_y:.1f}" r="3.5"/></g>'
        )


def _rain_panel(months: list[Month]) -> Iterable[str]:
    yield f'<text class="title" x="0" y="{RAIN_TOP - 18}">Rain a month, mm</text>'
    for millimetres in range(0, WETTEST + 1, 100):
        yield from _grid(_rain_y(millimetres), str(millimetres))
    for number, month in enumerate(months):
        x, y = _x(number, months), _rain_y(month.rain)
        yield (
            f'<g class="rain"><title>{month.first:%B %Y}: {month.rain:.0f} mm</title>'
            f'<rect x="{x + 2:.1f}" y="{y:.1f}" width="{_x(1, months) - _x(0, months) - 4:.1f}" '
            f'height="{RAIN_BOTTOM - y:.1f}" rx="2"/></g>'
        )


def _time_axis(months: list[Month]) -> Iterable[str]:
    for number, month in enumerate(months):
        if month.first.month == 1:
            x = _x(number, months)
            for top, bottom in ((WARM_TOP, WARM_BOTTOM), (RAIN_TOP, RAIN_BOTTOM + 22)):
                yield f'<line class="year" x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{bottom}"/>'
            yield f'<text class="year" x="{x + 7:.1f}" y="{RAIN_BOTTOM + 20}">{month.first.year}</text>'


def _grid(y: float, label: str) -> Iterable[str]:
    yield f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
    yield f'<text class="scale" x="{LEFT - 8}" y="{y + 4:.1f}">{label}</text>'


def _x(number: float, months: list[Month]) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * number / len(months)


def _warm_y(degrees: float) -> float:
    return WARM_BOTTOM - (WARM_BOTTOM - WARM_TOP) * degrees / WARMEST


def _rain_y(millimetres: float) -> float:
    return RAIN_BOTTOM - (RAIN_BOTTOM - RAIN_TOP) * millimetres / WETTEST


def _points(points: Iterable[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
