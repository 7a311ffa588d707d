"""Runs one attempt of a job and says what it came to. It never writes to a store and never raises.

`begin` finds the function and unpacks its arguments; `run` calls a `def`, `arun` awaits an `async def`. What the code
returns or raises becomes an Outcome, a value; one place gives outcomes to the store.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from types import CoroutineType
from typing import Any

from outlast import context, names, request_id
from outlast.clock import span
from outlast.context import NO_VARIABLES, Carried, Variables
from outlast.errors import Fail, LuggageMisfit, Retry, Snooze, TaskUnknown
from outlast.job import Claimed, Erred, Outcome, Released, Snoozed, Stopped, Succeeded
from outlast.luggage import Signature, pack_value
from outlast.retry import StoredPolicy
from outlast.worker.surroundings import Surroundings

MISFIT_PAUSE = 30_000_000
"""Microseconds before a job whose arguments do not fit this code is offered again (to other code, it is hoped)."""
_LONGEST_LINE = 1_000
_LONGEST_TRACEBACK = 100_000
"""Characters kept of an error: a message may quote the whole of what it complains about."""


@dataclass(slots=True)
class Run:
    """A call that is ready to be made."""

    job: Claimed
    func: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    is_async: bool
    carried: Carried


_log = logging.getLogger("outlast.worker")
_functions: dict[str, tuple[Callable[..., Any], Signature, bool]] = {}


def begin(job: Claimed, variables: Variables = NO_VARIABLES) -> Run | Outcome:
    """The call that a job asks for, or what its attempt came to if there is none to make.

    `variables` are the context variables that this code registers. Raises TaskUnknown when this code does not have the
    task: the job then waits for a worker that does.
    """
    func, signature, is_async = _functions.get(job.task) or _find(job.task)
    try:
        args, kwargs = signature.unpack(job.luggage)
        carried = context.read(job.context, variables, job.id)
    except LuggageMisfit as error:
        note = f"{error}; waits for code that fits it"
        return Released(note, MISFIT_PAUSE, begun=False)
    except BaseException as error:  # the user's classes may raise anything
        return _erred(job, error)
    return Run(job, func, args, kwargs, is_async, carried)


def run(call: Run) -> Outcome:
    """Call a `def` task in this thread."""
    try:
        with Surroundings(call.job, call.carried):
            return _succeeded(call, call.func(*call.args, **call.kwargs))
    except BaseException as error:
        return _outcome(call.job, error)


async def arun(call: Run) -> Outcome:
    """Await an `async def` task. Its cancellation, from inside or outside, is an outcome too."""
    try:
        with Surroundings(call.job, call.carried):
            return _succeeded(call, await call.func(*call.args, **call.kwargs))
    except BaseException as error:
        return _outcome(call.job, error)


def _find(task: str) -> tuple[Callable[..., Any], Signature, bool]:
    try:
        found = names.resolve(task)
    except BaseException as error:  # importing its module may even end the process
        raise TaskUnknown(_told(error, f"{task} cannot be imported")) from error
    func = getattr(found, "func", found)  # a Task wraps its function
    if not callable(func):
        raise TaskUnknown(f"{task} is not a function in this code")
    try:
        entry = (func, Signature.of(func), inspect.iscoroutinefunction(func))
    except Exception as error:
        raise TaskUnknown(_told(error, f"{task} cannot be called in this code")) from error
    _functions[task] = entry
    return entry


def _told(error: BaseException, what: str) -> str:
    return str(error) if isinstance(error, names.NotFound) else f"{what}: {type(error).__name__}: {error}"


def _succeeded(call: Run, result: Any) -> Outcome:
    if result is None:
        return Succeeded()
    if type(result) is CoroutineType:
        result.close()
        raise TypeError(
            f"{call.job.task} is a plain function that returned a coroutine, which nobody awaits: what it decorates "
            "is `async def`, so make the decorator's wrapper `async def` too"
        )
    try:
        return Succeeded(pack_value(result))
    except Exception as error:
        # The work is done; only its result cannot be kept. To fail it would do the work again.
        job = call.job
        _log.warning(
            "result not kept id=%s task=%s%s: %s", job.id, job.task, request_id.told(job.context), error
        )
        return Succeeded()


def _outcome(job: Claimed, error: BaseException) -> Outcome:
    try:
        return _meaning(job, error)
    except Exception as fault:  # such as `raise Snooze(5)`, whose delay is no timedelta
        return Erred(_line(fault), _traceback(fault))


def _meaning(job: Claimed, error: BaseException) -> Outcome:
    if isinstance(error, Snooze):
        return Snoozed(span(error.delay))
    if isinstance(error, asyncio.CancelledError):
        return Stopped(_traceback(error))
    return _erred(job, error)


def _erred(job: Claimed, error: BaseException) -> Outcome:
    again = isinstance(error, Retry) or (
        not isinstance(error, Fail) and StoredPolicy.from_row(job.retry).covers(error)
    )
    delay = span(error.delay) if isinstance(error, Retry) and error.delay is not None else None
    return Erred(_line(error), _traceback(error), again, delay)


def _line(error: BaseException) -> str:
    """`ValueError: its message's first line`: neither the place of a SyntaxError, nor notes, nor further lines."""
    lines = "".join(traceback.format_exception_only(error)).splitlines()
    return next((line for line in lines if line and not line[0].isspace()), type(error).__name__)[
        :_LONGEST_LINE
    ]


def _traceback(error: BaseException) -> str:
    own = error.__traceback__.tb_next if error.__traceback__ else None  # without our frame
    text = "".join(traceback.format_exception(type(error), error, own))
    if len(text) <= _LONGEST_TRACEBACK:
        return text
    half = _LONGEST_TRACEBACK // 2
    return f"{text[:half]}\n[… {len(text) - 2 * half:,} characters left out …]\n{text[-half:]}"
