"""The log records of a child: each knows the attempt that its line was written in.

So a format of the user's such as `%(request_id)s` works on the lines of tasks. Only a child installs this: a server's
log is the user's own.
"""

from __future__ import annotations

import logging
from typing import Any

from outlast.worker.surroundings import current_job

NONE = "-"
"""Stands in a line that belongs to no attempt, or to none with a request."""


def install() -> None:
    """From now on every record of this process has `job_id`, `task`, `attempt` and `request_id`."""
    logging.setLogRecordFactory(Record)


class Record(logging.LogRecord):
    """A record with the attempt it was written in.

    What it knows of that enters its dictionary only when it is put into words: `logging` refuses an `extra=` of the
    user's that is there before, and one of those names is likely to be used.
    """

    __slots__ = ("_attempt",)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        job = current_job()
        self._attempt: dict[str, Any] = (
            dict.fromkeys(("job_id", "task", "attempt", "request_id"), NONE)
            if job is None
            else {
                "job_id": job.id,
                "task": job.task,
                "attempt": job.attempt,
                "request_id": job.request_id or NONE,
            }
        )

    def getMessage(self) -> str:  # noqa: N802 (logging's name)
        """The message; every formatter asks for it before it asks for the rest."""
        for name, value in self._attempt.items():
            self.__dict__.setdefault(name, value)
        return super().getMessage()

    def __getattr__(self, name: str) -> Any:
        """For filters, which come before."""
        if name != "_attempt" and name in self._attempt:
            return self._attempt[name]
        raise AttributeError(name)
