"""Notices that the machine's clock was set, by a clock that never is. Pure: both times are arguments."""

from __future__ import annotations

_LEAST = 2.0
"""Seconds below which a change is drift and rounding."""


class ClockWatch:
    """Asked now and then, says by how much the time of day has moved more than time has passed."""

    def __init__(self, now: int, steady: float) -> None:
        self._offset = now / 1e6 - steady

    def jump(self, now: int, steady: float) -> float:
        """Seconds that the clock was set forward (or back, if negative) since it was last asked; 0.0 if it was not."""
        moved = now / 1e6 - steady - self._offset
        self._offset += moved
        return moved if abs(moved) >= _LEAST else 0.0
