"""What a supervisor is told at its start: it imports none of the user's code, so everything comes with the orders."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from outlast.clock import span
from outlast.handed import Handed
from outlast.target import Target

_CGROUP = Path("/sys/fs/cgroup")
DUTY_TAKEN = 75
"""Exit code of a hosted supervisor that found another on duty (EX_TEMPFAIL)."""
SLOTS = 40
"""Jobs a child runs at once: as many as FastAPI has threads for `def` endpoints."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a worker works."""

    url: str
    target: Target
    children: int
    slots: int
    queues: tuple[str, ...] | None = None
    """Only these queues; None for all."""
    handed: tuple[Handed, ...] = ()
    """The queues whose jobs it does not run: an engine's workers do."""
    grace: timedelta = timedelta(seconds=8)
    retention: timedelta = timedelta(days=7)
    lease: timedelta = timedelta(seconds=15)
    migrate: bool = False
    """Whether whoever starts brings the tables of a PostgreSQL store up to date."""
    hosted: bool = False
    """Started by a server: leaves when that server is gone, and at once when another is on duty."""
    log_level: str = "INFO"
    http: str | None = None
    """HOST:PORT of its metrics and health; None: nowhere."""

    @property
    def hands_all_over(self) -> bool:
        """Whether it runs nothing itself."""
        return any(each.queue is None for each in self.handed)

    @property
    def relayed(self) -> tuple[Handed, ...]:
        """What it publishes itself: of what is handed over, the queues that it serves."""
        if self.queues is None:
            return self.handed
        return tuple(
            replace(each, queue=queue)
            for queue in self.queues
            for each in self.handed
            if each.queue in (None, queue)
        )

    def to_message(self) -> dict[str, Any]:
        fields = asdict(self)
        handed = [each.to_message() for each in self.handed]
        told = {name: span(it) if isinstance(it, timedelta) else it for name, it in fields.items()}
        return {**told, "handed": handed}

    @classmethod
    def from_message(cls, fields: dict[str, Any]) -> Settings:
        durations = {name: timedelta(microseconds=fields[name]) for name in ("grace", "retention", "lease")}
        queues = None if fields["queues"] is None else tuple(fields["queues"])
        target = Target.from_message(fields["target"])
        handed = tuple(map(Handed.from_message, fields["handed"]))
        return cls(**{**fields, **durations, "queues": queues, "target": target, "handed": handed})


def cores() -> int:
    """The cores this process really has: its affinity, and the quota of its container."""
    try:
        allowed = len(os.sched_getaffinity(0))
    except AttributeError:  # macOS
        allowed = os.cpu_count() or 1
    return max(1, min(allowed, quota(_CGROUP) or allowed))


def quota(cgroup: Path) -> int | None:
    """The cores that a Linux control group (v2, then v1) grants, rounded up; None without a limit."""
    try:
        granted, period = (cgroup / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            granted = (cgroup / "cpu/cpu.cfs_quota_us").read_text().strip()
            period = (cgroup / "cpu/cpu.cfs_period_us").read_text().strip()
        except OSError:
            return None
    if not granted.isdigit() or int(period) == 0:
        return None
    return -(-int(granted) // int(period))
