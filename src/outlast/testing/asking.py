"""Asks what was enqueued, and words the answer for a test that fails.

Arguments are compared as they arrive in the task: after the trip through JSON, with the function's own defaults.
"""

from __future__ import annotations

import inspect
import reprlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from outlast import names
from outlast.errors import TaskRefused
from outlast.job import JobRecord
from outlast.luggage import Signature
from outlast.options import TaskOptions
from outlast.store import Store
from outlast.task import Call, Task
from outlast.testing.worker import open_queues

_ABSENT = object()
_TOLD = 20
"""Jobs that a message tells of."""
_repr = reprlib.Repr()
_repr.maxstring = _repr.maxother = 200


def all_jobs() -> list[JobRecord]:
    """Every job of the process, oldest first."""
    records = [record for queue in open_queues() for record in queue.tell(_find_all)]
    return sorted(records, key=lambda record: record.id)


def _find_all(store: Store) -> list[JobRecord]:
    return store.find(limit=sys.maxsize)


class Question:
    """Which jobs are of this function, with these of its arguments, and with these options if it has any."""

    def __init__(
        self, func: Callable[..., Any], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> None:
        call = func if isinstance(func, Call) else None
        named = call.task if call is not None else func
        self._options = call.settings if call is not None else None
        self._func: Callable[..., Any] = named.func if isinstance(named, Task) else named
        self.task = named.name if isinstance(named, Task) else _name_of(named)
        self._expected = _bound(self._func, args, kwargs or {}) if args or kwargs else {}

    def answer(self, jobs: Sequence[JobRecord]) -> list[JobRecord]:
        return [job for job in self._of_task(jobs) if not self._differences(job)]

    def complaint(self, jobs: Sequence[JobRecord]) -> str:
        """That there is no such job, what comes nearest, and what there is."""
        asked = _told_call(self.task, self._expected)
        nearest = min(
            reversed(self._of_task(jobs)), key=lambda job: len(self._differences(job)), default=None
        )
        parts = [f"no job {asked} was enqueued"]
        if nearest is not None:
            parts.append(f"\nnearest is {told(nearest)}, which differs in")
            parts += [f"\n  {line}" for line in self._differences(nearest)]
        parts.append("\nenqueued:" + told_jobs(jobs) if jobs else "; nothing was")
        return "".join(parts)

    def _of_task(self, jobs: Sequence[JobRecord]) -> list[JobRecord]:
        return [job for job in jobs if job.task == self.task]

    def _differences(self, job: JobRecord) -> list[str]:
        arrived = _arrived(self._func, job)
        differences = [
            f"{name}: expected {_repr.repr(value)}, arrives as {_told_value(arrived.get(name, _ABSENT))}"
            for name, value in self._expected.items()
            if name not in arrived or value != arrived[name]
        ]
        return differences + list(_other_options(self._options, job))


def _name_of(func: Callable[..., Any]) -> str:
    try:
        return names.reference(func)
    except names.NotImportable as error:
        raise TaskRefused(f"{func!r} is no task, and can be none: {error}") from error


def _bound(func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """By the names of the parameters."""
    signature = inspect.signature(func)
    try:
        return _flat(signature, signature.bind_partial(*args, **kwargs))
    except TypeError as error:
        raise TypeError(f"{func.__qualname__}() {error}") from None


def _arrived(func: Callable[..., Any], job: JobRecord) -> dict[str, Any]:
    """The arguments that the task will see, or has seen."""
    compiled, signature = Signature.of(func), inspect.signature(func)
    args, kwargs = compiled.unpack(job.luggage)
    bound = signature.bind_partial(*args, **kwargs)
    bound.apply_defaults()
    return {name: value for name, value in _flat(signature, bound).items() if name not in compiled.depends}


def _flat(signature: inspect.Signature, bound: inspect.BoundArguments) -> dict[str, Any]:
    """With what `**kwargs` takes under its own names."""
    flat: dict[str, Any] = {}
    for name, value in bound.arguments.items():
        if signature.parameters[name].kind is inspect.Parameter.VAR_KEYWORD:
            flat |= value
        else:
            flat[name] = value
    return flat


# ---- options


def _other_options(options: TaskOptions | None, job: JobRecord) -> Iterator[str]:
    """Where a job is another than such a call would have made."""
    if options is None:
        return
    for name, (expected, is_so) in _options_as_stored(options, job).items():
        if expected != is_so:
            yield f"{name}: expected {_told_value(expected)}, is {_told_value(is_so)}"


def _options_as_stored(options: TaskOptions, job: JobRecord) -> dict[str, tuple[object, object]]:
    pairs: dict[str, tuple[object, object]] = {
        "queue": (options.queue, job.queue),
        "priority": (options.priority, job.priority),
        "max_attempts": (options.attempts, job.max_attempts),
        "timeout": (options.timeout, job.timeout),
        "expires": (_instant(options.expires, job), job.expires_at),
    }
    if job.attempt == 0:  # a retry moves it
        run_at = _instant(options.run_at or options.delay, job) or job.created_at
        pairs["run_at"] = (max(run_at, job.created_at), job.run_at)
    return pairs


def _instant(when: timedelta | datetime | None, job: JobRecord) -> datetime | None:
    return job.created_at + when if isinstance(when, timedelta) else when


# ---- words


def told_jobs(jobs: Sequence[JobRecord]) -> str:
    """One a line, the latest of them."""
    lines = [f"\n  {told(job)}" for job in jobs[-_TOLD:]]
    return (f"\n  … and {len(jobs) - _TOLD} before" if len(jobs) > _TOLD else "") + "".join(lines)


def told(job: JobRecord) -> str:
    """A job as its call would be written."""
    try:
        found: Any = names.resolve(job.task)
        arguments = _arrived(getattr(found, "func", found), job)
    except Exception:  # its task is not there, or no longer fits
        return f"{job.task} {job.luggage[:200]}"
    return _told_call(job.task, arguments)


def _told_call(task: str, arguments: Mapping[str, Any]) -> str:
    written = ", ".join(f"{name}={_repr.repr(value)}" for name, value in arguments.items())
    return f"{task}({written})"


def _told_value(value: object) -> str:
    if value is _ABSENT:
        return "nothing"
    return str(value) if isinstance(value, (datetime, timedelta)) else _repr.repr(value)
