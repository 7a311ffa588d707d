"""Several measurements of one thing, told as their median and range. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of several rounds, and the least and the most."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        return cls(statistics.median(values), min(values), max(values))

    def told(self, digits: int = 0, unit: str = "") -> str:
        """`4,812 (4,600 to 5,010)`; a single value alone."""
        median, least, most = (f"{value:,.{digits}f}" for value in (self.median, self.least, self.most))
        suffix = f" {unit}" if unit else ""
        return f"{median}{suffix}" if least == most else f"{median}{suffix} ({least} to {most})"


def quantile(values: Sequence[float], share: float) -> float:
    """The value that a share of all lie at or below (nearest rank). 0 for no values."""
    if not values:
        return 0.0
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
