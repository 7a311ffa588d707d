"""An attempt under way, and what its end means, given why it was told to stop."""

from __future__ import annotations

from dataclasses import dataclass, field

from outlast.job import Claimed, Erred, Outcome, Released, Stopped, TimedOut

TIMEOUT, CANCEL, SHUTDOWN = "timeout", "cancel", "shutdown"


@dataclass(slots=True)
class Running:
    """A job whose code runs somewhere."""

    job: Claimed
    since: float
    """When it was handed over, on the steady clock."""
    stop: str | None = field(default=None, kw_only=True)
    """Why it was told to stop, if it was."""
    where: str = field(
        default="no traceback: its child did not answer; it may be in code that holds the interpreter",
        kw_only=True,
    )
    """What was said of the place where it was when it was told to stop."""

    def came_to(self, outcome: Outcome) -> Outcome:
        """What its code's ending means, given why it was told to stop."""
        if isinstance(outcome, Erred) and self.stop == SHUTDOWN and outcome.again:
            return Released(f"the worker was shut down; stopped, its task raised {outcome.error}")
        if not isinstance(outcome, Stopped):
            return outcome
        if self.stop is None:
            return Erred(
                "CancelledError: the task was cancelled by code of its own process", outcome.traceback
            )
        self.where = outcome.traceback
        return self.stopped()

    def stopped(self) -> Outcome:
        """What it came to when its code was stopped, with or without its child."""
        if self.stop == TIMEOUT:
            return TimedOut(self.job.timeout or 0, self.where)
        if self.stop == CANCEL:
            return Stopped()
        return Released("the worker was shut down" if self.stop == SHUTDOWN else "its child was replaced")
