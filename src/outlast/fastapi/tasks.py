"""BackgroundTasks: FastAPI's class as users know it, but what is added becomes a job.

FastAPI recognises a parameter annotated with a subclass of its own class and injects its plain one. So the public name
is, at run time, an annotation that carries a dependency; for type checkers, `isinstance` and subclassing it is a class.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ParamSpec

from fastapi import BackgroundTasks as PlainTasks
from fastapi import Depends
from fastapi.requests import HTTPConnection
from starlette.background import BackgroundTask

from outlast.errors import AppRefused
from outlast.fastapi import seam
from outlast.fastapi.receipt import KEY, Receipt, current
from outlast.fastapi.unbound import Unbound
from outlast.handle import Job

P = ParamSpec("P")


def _named(*args: Any, **kwargs: Any) -> None:
    """Stands for a function that was given as a keyword."""


def _taken_from(kwargs: dict[str, Any]) -> Callable[..., Any]:
    if "func" not in kwargs:
        raise TypeError("add_task() needs the function to run")
    func: Callable[..., Any] = kwargs.pop("func")
    return func


class BackgroundTasks(PlainTasks):
    """Tasks that run after the response, and survive whatever happens to the server.

    Take it as a parameter of an endpoint or a dependency, one object for the whole request; or make one by hand and
    attach it to a response. What is added before the response starts is committed with it, all or none.
    """

    _jobs: Receipt | Unbound

    def __init__(self, tasks: Sequence[BackgroundTask] | None = None) -> None:
        self._added: list[tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]] = []
        receipt = current.get()
        if receipt is None:
            self._jobs = Unbound()
        else:
            receipt.begin_anew()
            seam.watch(receipt)
            self._jobs = receipt
        for task in tasks or ():
            self.add_task(task.func, *task.args, **task.kwargs)

    @classmethod
    def of(cls, receipt: Receipt) -> BackgroundTasks:
        """The one object of a request."""
        tasks = cls.__new__(cls)
        tasks._added = []
        tasks._jobs = receipt
        return tasks

    def add_task(  # type: ignore[override]
        self, func: Callable[P, Any] = _named, /, *args: P.args, **kwargs: P.kwargs
    ) -> Job:
        """Add a call of a function or task, its arguments packed as they are now. Every keyword is the function's.

        Raises TaskRefused, LuggageRefused, LuggageTooLarge.
        """
        if func is _named:  # FastAPI's takes `func=` too
            func = _taken_from(kwargs)
        job = self._jobs.add(func, args, kwargs)
        self._added.append((func, args, kwargs))
        return job

    @property
    def tasks(self) -> tuple[BackgroundTask, ...]:  # type: ignore[override]
        """What was added, for tests that look; a tuple, because only `add_task` adds."""
        return tuple(BackgroundTask(func, *args, **kwargs) for func, args, kwargs in self._added)

    async def __call__(self) -> None:
        """What a response does with what is attached to it, once it is sent."""
        if isinstance(self._jobs, Unbound):
            await self._jobs.commit()
        elif self._jobs.turn is not None:
            await self._jobs.turn()


async def provide_by_stacks(conn: HTTPConnection, plain: PlainTasks) -> BackgroundTasks:
    """The tasks of the request; FastAPI's own exit stacks tell of its failure."""
    receipt = receipt_of(conn)
    if receipt.tasks is None:
        receipt.plain, receipt.inner = plain, conn.scope
        receipt.tasks = BackgroundTasks.of(receipt)
        seam.watch(receipt)
    return receipt.tasks


async def watched(conn: HTTPConnection) -> AsyncIterator[Receipt]:
    """A dependency that FastAPI tells of the request's failure."""
    receipt = receipt_of(conn)
    try:
        yield receipt
    except BaseException as error:
        receipt.watch(type(error), error, error.__traceback__)
        raise


async def provide_by_generator(
    conn: HTTPConnection, receipt: Annotated[Receipt, Depends(watched)], plain: PlainTasks
) -> BackgroundTasks:
    """The tasks of the request, where FastAPI's exit stacks are not where they were."""
    if receipt.tasks is None:
        receipt.plain, receipt.inner = plain, conn.scope
        receipt.tasks = BackgroundTasks.of(receipt)
    return receipt.tasks


def receipt_of(conn: HTTPConnection) -> Receipt:
    """The receipt that the door laid down for this request. Raises AppRefused where there is no door."""
    receipt: Receipt | None = conn.scope.get(KEY)
    if receipt is None:
        raise AppRefused(
            f"outlast.BackgroundTasks is used at {conn.scope['path']}, but its app has no TaskQueue; "
            "add `queue = TaskQueue(app)` where the app is made"
        )
    return receipt


provide: Callable[..., Any] = provide_by_stacks if seam.has_stacks() else provide_by_generator
OWN = (provide_by_stacks, provide_by_generator, watched)
"""Dependencies that are ours, not the user's."""


if not TYPE_CHECKING:
    _Class = BackgroundTasks
    _Annotated = type(Annotated[object, "what Annotated[…] is an instance of"])

    class _Whole:
        """Refuses to be a part of another type, of which FastAPI would make a parameter that the client fills."""

        def __get_pydantic_core_schema__(self, source, handler):
            raise AppRefused(
                "a parameter is annotated with outlast.BackgroundTasks as a part of another type, such as "
                "`BackgroundTasks | None`; annotate it with `BackgroundTasks` alone: it is always there"
            )

    class _Injected(_Annotated, _root=True):
        """An annotation for FastAPI; the class itself for `isinstance`, subclassing, calling and patching.

        What is annotated is any object: older versions of FastAPI refuse Depends for a subclass of their own class.
        """

        __dict__ = property(lambda self: _Class.__dict__)  # where mock looks for what it shall restore

        def __init__(self):
            super().__init__(object, (Depends(provide), _Whole()))

        __hash__ = (
            object.__hash__
        )  # older versions of FastAPI have a Depends without one, which a union needs

        def __call__(self, *args, **kwargs):
            return _Class(*args, **kwargs)

        def __mro_entries__(self, bases):
            return (_Class,)

        def __instancecheck__(self, obj):
            return isinstance(obj, _Class)

        def __subclasscheck__(self, cls):
            return issubclass(cls, _Class)

        def __getattr__(self, name):
            return getattr(_Class, name)

        def __setattr__(self, name, value):
            if name.startswith("_"):
                object.__setattr__(self, name, value)
            else:
                setattr(_Class, name, value)

        def __delattr__(self, name):
            delattr(_Class, name)

        def __repr__(self):
            return "outlast.BackgroundTasks"

    BackgroundTasks = _Injected()
