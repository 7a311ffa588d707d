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
from contextvars import ContextVar
from dataclasses import dataclass
from types import CoroutineType
from typing import Any

from outlast import names
from outlast.clock import span
from outlast.errors import Fail, LuggageMisfit, Retry, Snooze, TaskUnknown
from outlast.files.freight import Freight
from outlast.job import Claimed, Erred, Outcome, Released, Snoozed, Stopped, Succeeded
from outlast.luggage import Signature, pack_value
from outlast.retry import StoredPolicy
from outlast.worker import arrivals

MISFIT_PAUSE = 30_000_000
"""Microseconds before a job whose arguments do not fit this code is offered again (to other code, it is hoped)."""
_LONGEST_LINE = 1_000
_LONGEST_TRACEBACK = 100_000
"""Characters kept of an error: a message may quote the whole of what it complains about."""


@dataclass(frozen=True, slots=True)
class CurrentJob:
    """The job that the running code belongs to."""

    id: str
    attempt: int
    task: str
    failures: int


@dataclass(slots=True)
class Run:
    """A call that is ready to be made."""

    job: Claimed
    func: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    is_async: bool
    freight: Freight


_log = logging.getLogger("outlast.worker")
_current: ContextVar[Claimed | None] = ContextVar("outlast_current_job", default=None)
_functions: dict[str, tuple[Callable[..., Any], Signature, bool]] = {}


def current_job() -> CurrentJob | None:
    """The job that is running this code; None outside a task."""
    job = _current.get()
    return None if job is None else CurrentJob(job.id, job.attempt, job.task, job.failures)


def begin(job: Claimed, freight: Freight) -> Run | Outcome:
    """The call that a job asks for, or what its attempt came to if there is none to make.

    What lies in a stored file is not fetched here but by the call itself.

    Raises TaskUnknown when this code does not have the task: the job then waits for a worker that does.
    """
    func, signature, is_async = _functions.get(job.task) or _find(job.task)
    if arrivals.are_in(job.luggage):
        call = arrivals.awaited_call if is_async else arrivals.plain_call
        return Run(job, call(func, signature, job, freight), (), {}, is_async, freight)
    try:
        args, kwargs = signature.unpack(job.luggage)
    except BaseException as error:  # the user's classes may raise anything
        return _not_begun(job, error)
    return Run(job, func, args, kwargs, is_async, freight)


def _not_begun(job: Claimed, error: BaseException) -> Outcome:
    if isinstance(error, LuggageMisfit):
        return Released(f"{error}; waits for code that fits it", MISFIT_PAUSE, begun=False)
    return _erred(job, error)


def run(call: Run) -> Outcome:
    """Call a `def` task in this thread."""
    token = _current.set(call.job)
    try:
        return _stored(call, _succeeded(call, call.func(*call.args, **call.kwargs)))
    except BaseException as error:
        return _outcome(call.job, error)
    finally:
        _current.reset(token)


async def arun(call: Run) -> Outcome:
    """Await an `async def` task. Its cancellation, from inside or outside, is an outcome too."""
    token = _current.set(call.job)
    try:
        outcome = _succeeded(call, await call.func(*call.args, **call.kwargs))
        if outcome.result is not None and call.freight.is_bulky(outcome.result):
            return await asyncio.to_thread(_stored, call, outcome)
        return outcome
    except BaseException as error:
        return _outcome(call.job, error)
    finally:
        _current.reset(token)


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


def _succeeded(call: Run, result: Any) -> Succeeded:
    if result is None:
        return Succeeded()
    if type(result) is CoroutineType:
        result.close()
        raise TypeError(
            f"{call.job.task} is a plain function that returned a coroutine, which nobody awaits: what it decorates "
            "is `async def`, so make the decorator's wrapper `async def` too"
        )
    try:
        return Succeeded(pack_value(result, limit=call.freight.text_limit))
    except Exception as error:
        return _without_result(call, error)


def _stored(call: Run, outcome: Succeeded) -> Succeeded:
    """With its result in a file, if it is too large for a row."""
    if outcome.result is None or not call.freight.is_bulky(outcome.result):
        return outcome
    try:
        return Succeeded(*call.freight.stow_text(outcome.result))
    except Exception as error:
        return _without_result(call, error)


def _without_result(call: Run, error: Exception) -> Succeeded:
    """The work is done; only its result cannot be kept. To fail it would do the work again."""
    _log.warning("result not kept id=%s task=%s: %s", call.job.id, call.job.task, error)
    return Succeeded()


def _outcome(job: Claimed, error: BaseException) -> Outcome:
    try:
        return _meaning(job, error)
    except Exception as fault:  # such as `raise Snooze(5)`, whose delay is no timedelta
        return Erred(_line(fault), _traceback(fault))


def _meaning(job: Claimed, error: BaseException) -> Outcome:
    if isinstance(error, arrivals.CannotBegin):
        return _not_begun(job, error.why)
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
    """Without our own frames before the task's."""
    own = error.__traceback__.tb_next if error.__traceback__ else None
    while own is not None and own.tb_frame.f_code.co_filename == arrivals.__file__:
        own = own.tb_next
    text = "".join(traceback.format_exception(type(error), error, own))
    if len(text) <= _LONGEST_TRACEBACK:
        return text
    half = _LONGEST_TRACEBACK // 2
    return f"{text[:half]}\n[… {len(text) - 2 * half:,} characters left out …]\n{text[-half:]}"
