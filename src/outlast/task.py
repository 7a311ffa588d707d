"""Tasks: functions with the options their jobs are enqueued with.

A `Task` is called as the plain function it wraps. `Call` is a task with the options of one call, what `.options(…)`
returns; it makes the rows. Packing arguments is luggage's work, committing is the queue's.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import update_wrapper
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, Unpack, cast

from outlast import names
from outlast.clock import span, to_micros
from outlast.errors import TaskRefused
from outlast.files.cargo import Cargo
from outlast.job import NewJob, new_id
from outlast.luggage import Signature
from outlast.options import NAMES, NO_OPTIONS, SESSION, CallOptions, TaskOptions

if TYPE_CHECKING:
    from outlast.handle import Job
    from outlast.queue import TaskQueue

P = ParamSpec("P")
R = TypeVar("R")

OF_REQUEST: Any = object()
"""The session of a call that says none: its request's, if that has one for its jobs."""


class Task(Generic[P, R]):
    """A function with its options, made by `@queue.task`. Call it, and the function runs here and now."""

    __wrapped__: Callable[P, R]
    __name__: str
    __qualname__: str

    def __init__(self, func: Callable[P, R], queue: TaskQueue, options: TaskOptions = NO_OPTIONS) -> None:
        update_wrapper(cast("Callable[P, R]", self), func)
        self.func = func
        self.queue = queue
        self.call = self.call_with(options)
        """The task with its own options alone."""

    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.func(*args, **kwargs)

    def options(self, **given: Unpack[CallOptions]) -> Call[P, R]:
        """This task with other options for one call. Raises OptionRefused."""
        return self.call.changed(given)

    def call_with(self, settings: TaskOptions, session: Any = OF_REQUEST) -> Call[P, R]:
        """This task with these options."""
        return Call(self, settings, session)

    def enqueue(self, /, *args: P.args, **kwargs: P.kwargs) -> Job:
        """Commit one call of it; on disk when this returns. Raises LuggageRefused, NotConfirmed."""
        return self.queue.enqueue(self, *args, **kwargs)

    async def aenqueue(self, /, *args: P.args, **kwargs: P.kwargs) -> Job:
        """`enqueue` without blocking the loop."""
        return await self.queue.aenqueue(self, *args, **kwargs)

    @property
    def name(self) -> str:
        """`module:qualname`, by which a worker finds it. Raises TaskRefused where none could."""
        return self.call.name

    def __repr__(self) -> str:
        return f"<Task {self.func.__module__}:{self.func.__qualname__}>"


class AsyncTask(Task[P, R]):
    """The task of an `async def`, which others recognise as one."""

    async def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> Any:  # type: ignore[override]
        return await cast(Any, self.func(*args, **kwargs))


def task_of(func: Callable[P, R], queue: TaskQueue, options: TaskOptions = NO_OPTIONS) -> Task[P, R]:
    """The Task of a function. Raises TaskRefused for one that no worker could ever find."""
    try:
        names.told_name(func)
    except names.NotImportable as error:
        raise _refusal(func, error) from error
    kind = AsyncTask if inspect.iscoroutinefunction(func) else Task
    return kind(func, queue, options)


def _reference(task: Task[..., Any]) -> str:
    """By its name its module must hold the task, or the function where `task` was not used as a decorator."""
    try:
        return names.reference(task)
    except names.NotImportable:
        pass
    try:
        return names.reference(task.func)
    except names.NotImportable as error:
        raise _refusal(task.func, error) from error


def _refusal(func: Callable[..., Any], error: names.NotImportable) -> TaskRefused:
    name = getattr(func, "__qualname__", None) or repr(func)
    return TaskRefused(f"no worker could find {name}: {error.reason}; {error.cure}")


def _never_run(func: Callable[..., Any]) -> TaskRefused:
    return TaskRefused(
        f"{func.__qualname__}() is a generator function: to call it makes a generator, and nothing of its body runs; "
        "add a function without `yield`, which goes through it"
    )


class Call(Generic[P, R]):
    """A task with the options of one call; what `add_task` and `enqueue` take in its place.

    What every job of it has in common is worked out once, here or when it is first used: rows are made by the thousand.
    """

    __slots__ = (
        "_delay",
        "_expires_at",
        "_expires_in",
        "_name",
        "_pack",
        "_row",
        "_run_at",
        "session",
        "settings",
        "signature",
        "task",
    )

    def __init__(self, task: Task[P, R], settings: TaskOptions, session: Any = OF_REQUEST) -> None:
        self.task = task
        self.settings = settings
        self.session = session
        """The caller's own, whose transaction its jobs are written in; None for none."""
        self._name: str | None = None
        self._delay = span(settings.delay) if settings.delay else 0
        self._run_at = to_micros(settings.run_at) if settings.run_at else None
        expires = settings.expires
        self._expires_in = span(expires) if isinstance(expires, timedelta) else None
        self._expires_at = to_micros(expires) if isinstance(expires, datetime) else None
        timeout = span(settings.timeout) if settings.timeout else None
        retry = settings.retry.to_row()
        self._row = (timeout, settings.attempts, retry, int(settings.at_most_once), None, 0, None)

    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.task.func(*args, **kwargs)

    def changed(self, given: CallOptions) -> Call[P, R]:
        """This call with some options given anew. Raises OptionRefused."""
        settings: Any = {name: value for name, value in given.items() if name != SESSION}
        return self.task.call_with(self.settings.changed(settings), given.get(SESSION, self.session))

    def enqueue(self, /, *args: P.args, **kwargs: P.kwargs) -> Job:
        """Commit this call; on disk when this returns. With a session, when that commits.

        Raises LuggageRefused, NotConfirmed.
        """
        return self.task.queue.enqueue(self, *args, **kwargs)

    async def aenqueue(self, /, *args: P.args, **kwargs: P.kwargs) -> Job:
        """`enqueue` without blocking the loop."""
        return await self.task.queue.aenqueue(self, *args, **kwargs)

    @property
    def name(self) -> str:
        """`module:qualname` of its task. Raises TaskRefused where no worker could find it."""
        return self._name or self._named()

    def new_job(
        self,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        context: str | None = None,
        *,
        now: int,
        limit: int,
    ) -> NewJob:
        """The row of one job, its files still to be stored; `now` in microseconds, `context` what travels with it.

        Raises TaskRefused, LuggageRefused, LuggageTooLarge.
        """
        name = self._name or self._named()
        settings = self.settings
        what = (new_id(), name, settings.queue, settings.priority)
        cargo = Cargo()
        carried = (self._pack(args, kwargs, limit=limit, cargo=cargo), cargo or None, context, settings.owner)
        run_at = now + self._delay if self._run_at is None else max(now, self._run_at)
        expires = self._expires_at if self._expires_in is None else now + self._expires_in
        return NewJob._make((*what, *carried, now, run_at, expires, *self._row))

    def _named(self) -> str:
        """Not when it is made: while a module is being imported its functions have no names in it yet."""
        signature = Signature.of(self.task.func)
        self.task.queue.solve_of(self.task.func)  # refused here, if no worker could solve it
        if inspect.isgeneratorfunction(self.task.func) or inspect.isasyncgenfunction(self.task.func):
            raise _never_run(self.task.func)
        self.signature = signature
        self._pack = signature.pack
        self._name = _reference(self.task)
        return self._name

    def __repr__(self) -> str:
        changes = [
            f"{name}={getattr(self.settings, name)!r}"
            for name in NAMES
            if getattr(self.settings, name) != getattr(NO_OPTIONS, name)
        ]
        if self.session is not OF_REQUEST:
            changes.append(f"session={self.session!r}")
        return f"{self.task!r}.options({', '.join(changes)})"
