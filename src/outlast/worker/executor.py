"""Runs one attempt of a job and says what it came to. It never writes to a store and never raises.

`begin` finds the function and unpacks its arguments; `run` calls a `def`, `arun` awaits an `async def`, and whatever
declares dependencies. What the code returns or raises becomes an Outcome, a value; one place gives them to the store.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import traceback
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from types import CoroutineType, TracebackType
from typing import Any

from outlast import context, names, request_id
from outlast.clock import span
from outlast.context import Carried
from outlast.errors import Fail, LuggageMisfit, Retry, Snooze, TaskUnknown
from outlast.files.freight import Freight
from outlast.job import SUCCEEDED, Claimed, Erred, NewJob, Outcome, Released, Snoozed, Stopped, Succeeded
from outlast.luggage import Signature, pack_value
from outlast.luggage.parcel import has_files
from outlast.luggage.stand_in import stood_for
from outlast.queue import Solve, TaskQueue
from outlast.retry import StoredPolicy
from outlast.task import Task
from outlast.worker import arrivals
from outlast.worker.surroundings import Surroundings
from outlast.worker.telling import Teller

InThread = Callable[[Claimed, Callable[[], Any]], Awaitable[Any]]
"""Runs a part of an attempt in a thread, in the context of the caller."""

MISFIT_PAUSE = 30_000_000
"""Microseconds before a job whose arguments do not fit this code is offered again (to other code, it is hoped)."""
_FRAMES = frozenset({"outlast", "fastapi", "starlette", "anyio", "asyncio", "contextlib"})
"""Packages whose code calls the user's."""
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
    freight: Freight
    carried: Carried
    teller: Teller | None
    """Takes what it tells of itself meanwhile."""
    solve: Solve | None = None
    """What fills its other parameters, around the call, on the loop."""
    error: BaseException | None = None
    """What it raised, if it did."""

    @property
    def on_loop(self) -> bool:
        """Whether it is for `arun`."""
        return self.is_async or self.solve is not None


_Function = tuple[Callable[..., Any], Signature, bool, Solve | None]
_log = logging.getLogger("outlast.worker")
_functions: dict[tuple[str, TaskQueue], _Function] = {}


def begin(job: Claimed, queue: TaskQueue) -> Run | Outcome:
    """The call that a job of a queue asks for, or what its attempt came to if there is none to make.

    What lies in a stored file is not fetched here but by the call itself.

    Raises TaskUnknown when this code does not have the task: the job then waits for a worker that does.
    """
    try:
        return call_of(job, queue)
    except TaskUnknown:
        raise
    except BaseException as error:  # the user's classes may raise anything
        return _not_begun(job, error)


def call_of(job: Claimed, queue: TaskQueue) -> Run:
    """The call that a job asks for. Raises TaskUnknown, LuggageMisfit, or whatever the user's classes raise."""
    func, signature, is_async, solve = _functions.get((job.task, queue)) or _find(job.task, queue)
    freight, teller, carried = queue.freight, queue.teller, context.read(job.context, queue.context, job.id)
    if arrivals.are_in(job.luggage):
        call = arrivals.awaited_call if is_async else arrivals.plain_call
        return Run(
            job, call(func, signature, job, freight), (), {}, is_async, freight, carried, teller, solve
        )
    args, kwargs = signature.unpack(job.luggage)
    return Run(job, func, args, kwargs, is_async, freight, carried, teller, solve)


def signature_of(task: str, queue: TaskQueue) -> Signature:
    """What a task takes, by its name. Raises TaskUnknown."""
    return (_functions.get((task, queue)) or _find(task, queue))[1]


def require_fit(job: Claimed, queue: TaskQueue) -> None:
    """Raise what an attempt would meet before the task's code is entered, files aside: these are not fetched."""
    call_of(job, queue)
    if has_files(job.luggage) and stood_for(job.luggage) is None:
        _, signature, *_ = _functions[job.task, queue]
        signature.unpack(job.luggage, arrivals.unread)


def _not_begun(job: Claimed, error: BaseException) -> Outcome:
    if isinstance(error, LuggageMisfit):
        return Released(f"{error}; waits for code that fits it", MISFIT_PAUSE, begun=False)
    return _erred(job, error)


def run(call: Run) -> Outcome:
    """Call a `def` task in this thread."""
    try:
        with Surroundings(call.job, call.carried, call.teller):
            return _stored(call, _succeeded(call, call.func(*call.args, **call.kwargs)))
    except BaseException as error:
        return _outcome(call, error)


async def arun(call: Run, in_thread: InThread) -> Outcome:
    """Await an `async def` task, or any that declares dependencies. Its cancellation is an outcome too."""
    try:
        with Surroundings(call.job, call.carried, call.teller):
            outcome = await _awaited(call, in_thread)
        if outcome.result is not None and call.freight.is_bulky(outcome.result):
            return await asyncio.to_thread(_stored, call, outcome)
        return outcome
    except BaseException as error:
        return _outcome(call, error)


async def _awaited(call: Run, in_thread: InThread) -> Succeeded:
    if call.solve is None:
        return _succeeded(call, await call.func(*call.args, **call.kwargs))
    return _succeeded(call, *await call.solve(partial(_proceed, call, in_thread)))


async def _proceed(call: Run, in_thread: InThread, /, **solved: Any) -> Any:
    """The call itself, in the middle of its dependencies."""
    work = partial(call.func, *call.args, **call.kwargs, **solved)
    return await (work() if call.is_async else in_thread(call.job, work))


def caught(work: Callable[[], Any]) -> Callable[[], Any]:
    """Call `work` in this thread; what it came to, returned or raised, is had by calling what is returned here."""
    try:
        result = work()
    except BaseException as error:
        return partial(_raise, error)
    return lambda: result


def _raise(error: BaseException) -> None:
    raise error


CALLERS = (run.__code__, caught.__code__)
"""The code that calls the user's, in a thread."""


def _find(task: str, queue: TaskQueue) -> _Function:
    found = _task(task)
    func = found.func if isinstance(found, Task) else found
    if inspect.isgeneratorfunction(func) or inspect.isasyncgenfunction(func):
        raise TaskUnknown(f"{task} is a generator function in this code: nothing of its body would run")
    try:
        solve = (found.queue if isinstance(found, Task) else queue).solve_of(func)
        entry = (func, Signature.of(func), inspect.iscoroutinefunction(func), solve)
    except Exception as error:
        raise TaskUnknown(_told(error, f"{task} cannot be called in this code")) from error
    _functions[task, queue] = entry
    return entry


def _task(task: str) -> Callable[..., Any]:
    """By its name; where that leads to none, by the alias of another."""
    try:
        return _named(task)
    except TaskUnknown:
        renamed = TaskQueue.renamed(task)
        if renamed is None:
            raise
        return _named(renamed)


def _named(task: str) -> Callable[..., Any]:
    try:
        found = names.resolve(task)
    except BaseException as error:  # importing its module may even end the process
        raise TaskUnknown(_told(error, f"{task} cannot be imported")) from error
    if not callable(found):
        raise TaskUnknown(f"{task} is not a function in this code")
    return found


def _told(error: BaseException, what: str) -> str:
    return str(error) if isinstance(error, names.NotFound) else f"{what}: {type(error).__name__}: {error}"


def _succeeded(call: Run, result: Any, added: Sequence[NewJob] = ()) -> Succeeded:
    if result is None:
        return Succeeded(None, tuple(added)) if added else SUCCEEDED
    if type(result) is CoroutineType:
        result.close()
        raise TypeError(
            f"{call.job.task} is a plain function that returned a coroutine, which nobody awaits: what it decorates "
            "is `async def`, so make the decorator's wrapper `async def` too"
        )
    try:
        return Succeeded(pack_value(result, limit=call.freight.text_limit), tuple(added))
    except Exception as error:
        return _without_result(call, error, added)


def _stored(call: Run, outcome: Succeeded) -> Succeeded:
    """With its result in a file, if it is too large for a row."""
    if outcome.result is None or not call.freight.is_bulky(outcome.result):
        return outcome
    try:
        result, file = call.freight.stow_text(outcome.result)
        return Succeeded(result, outcome.added, file)
    except Exception as error:
        return _without_result(call, error, outcome.added)


def _without_result(call: Run, error: Exception, added: Sequence[NewJob]) -> Succeeded:
    """The work is done; only its result cannot be kept. To fail it would do the work again."""
    job = call.job
    _log.warning("result not kept id=%s task=%s%s: %s", job.id, job.task, request_id.told(job.context), error)
    return Succeeded(None, tuple(added))


def _outcome(call: Run, error: BaseException) -> Outcome:
    call.error = error
    try:
        return _meaning(call.job, error)
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
    text = "".join(traceback.format_exception(type(error), error, _own(error.__traceback__)))
    if len(text) <= _LONGEST_TRACEBACK:
        return text
    half = _LONGEST_TRACEBACK // 2
    return f"{text[:half]}\n[… {len(text) - 2 * half:,} characters left out …]\n{text[-half:]}"


def _own(trace: TracebackType | None) -> TracebackType | None:
    """From the user's own code on: without ours, and without FastAPI's where it has solved dependencies."""
    own = trace
    while own is not None and own.tb_frame.f_globals.get("__name__", "").partition(".")[0] in _FRAMES:
        own = own.tb_next
    return own or (trace and trace.tb_next)
