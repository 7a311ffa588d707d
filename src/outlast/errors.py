"""The tree of errors. A docstring is the error's meaning; the message says what happened, to what, and what to do.

OutlastError
├── LuggageRefused      an argument cannot arrive equal              (also a TypeError)
├── LuggageTooLarge     the arguments are over the limit             (also a ValueError)
├── LuggageMisfit       a stored row no longer fits its function
├── TaskRefused         a function that no worker could find or run  (also a TypeError)
├── TaskUnknown         a stored row names a task this code lacks
├── OptionRefused       an option that does not exist or make sense  (also a ValueError)
├── AppRefused          an app and a TaskQueue that do not go together: none, two, or too late
├── JobNotFound         no such job in this store                    (also a LookupError)
├── JobFailed           a job waited for has failed or was cancelled
├── StoreError
│   ├── StoreUnusable   the store cannot be opened: path, rights, version, damage
│   └── NotConfirmed    a commit was not confirmed: full disk, lost store, out of time
├── AppNotFound         a worker cannot import the app
└── Control             what a task raises to steer its own job
    ├── Retry           again, after a delay of its choice
    ├── Snooze          later, and this was no failure
    └── Fail            never again
"""

from __future__ import annotations

from datetime import timedelta


class OutlastError(Exception):
    """Whatever Outlast raises."""


class LuggageRefused(OutlastError, TypeError):
    """An argument cannot be carried to another process so that it arrives equal."""


class LuggageTooLarge(OutlastError, ValueError):
    """The arguments of a call take more room than the limit allows."""


class LuggageMisfit(OutlastError):
    """The arguments of a stored job no longer fit the function as it is now: `what` does not, and the `cure`."""

    def __init__(self, what: str, cure: str = "") -> None:
        super().__init__(f"{what}; {cure}" if cure else what)
        self.what = what
        self.cure = cure


class TaskRefused(OutlastError, TypeError):
    """A function that no worker could find or run: a lambda, a closure, a method of a live object."""


class TaskUnknown(OutlastError):
    """A stored job names a task that this code does not have."""


class OptionRefused(OutlastError, ValueError):
    """An option that does not exist, or whose value makes no sense."""


class AppRefused(OutlastError, RuntimeError):
    """An app and a TaskQueue do not go together: there is none, there are two, or it comes too late."""


class JobNotFound(OutlastError, LookupError):
    """There is no job of this id in the store: never committed, or pruned."""


class JobFailed(OutlastError):
    """A job that was waited for has failed for good, or was cancelled."""


class StoreError(OutlastError):
    """Something is wrong with the store."""


class StoreUnusable(StoreError):
    """The store cannot be opened: its path, its rights, its version or its content is wrong."""


class NotConfirmed(StoreError):
    """A commit was not confirmed. What it held may be written or not; sending it again never doubles it."""


class AppNotFound(OutlastError):
    """A worker cannot import the app, or finds no TaskQueue in it."""


class Control(OutlastError):
    """What a task raises to steer its own job."""


class Retry(Control):
    """Raised by a task: this attempt failed; try again, after `delay` if given, if attempts are left."""

    def __init__(self, message: str = "", *, delay: timedelta | None = None) -> None:
        super().__init__(message or "the task asked for a retry")
        self.delay = delay


class Snooze(Control):
    """Raised by a task: not now; run again after `delay`. Costs no failure."""

    def __init__(self, delay: timedelta, message: str = "") -> None:
        super().__init__(message or f"snoozed for {delay}")
        self.delay = delay


class Fail(Control):
    """Raised by a task: fail for good, whatever attempts are left."""

    def __init__(self, message: str = "the task failed for good") -> None:
        super().__init__(message)
