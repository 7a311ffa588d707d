"""Native tasks: functions that already are an engine's own, handed over as its own messages once they are committed.

The row is written as any other, under a name that says whose it is. What runs it, tries it again and limits it is the
engine; the store says what was handed over, and what became of it where the engine tells.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from outlast.errors import OptionRefused, TaskRefused
from outlast.handed import Native
from outlast.job import NewJob
from outlast.luggage import Signature
from outlast.options import TaskOptions
from outlast.task import OF_REQUEST, Call, Task

if TYPE_CHECKING:
    from outlast.queue import TaskQueue

P = ParamSpec("P")
R = TypeVar("R")
_OF_THE_ENGINE = ("queue", "max_attempts", "timeout", "retry", "at_most_once")


class NativeTask(Task[P, R]):
    """A task of an engine's own. Its jobs lie in a queue that is named after the engine."""

    def __init__(self, native: Native, queue: TaskQueue, queue_name: str) -> None:
        self.native = native
        super().__init__(native.func, queue, TaskOptions(queue=queue_name))

    def call_with(self, settings: TaskOptions, session: Any = OF_REQUEST) -> Call[P, R]:
        return NativeCall(self, settings, session)


class NativeCall(Call[P, R]):
    """A native task with the options of one call: those that are not for the engine to decide."""

    __slots__ = ()
    task: NativeTask[P, R]

    def new_job(self, args: tuple[Any, ...], kwargs: dict[str, Any], *rest: Any, **more: Any) -> NewJob:
        job = super().new_job(args, kwargs, *rest, **more)
        self.task.native.check(args, kwargs)
        return job

    def _named(self) -> str:
        native, own = self.task.native, self.task.call.settings
        for name in _OF_THE_ENGINE:
            if getattr(self.settings, name) != getattr(own, name):
                raise OptionRefused(
                    f"{name}={getattr(self.settings, name)!r}: {native.engine} decides that for its own task "
                    f"{native.name}; set it there"
                )
        signature = Signature.of(native.func)
        if signature.depends:
            raise TaskRefused(
                f"{native.name} declares {', '.join(sorted(signature.depends))} by Depends(…), which {native.engine} "
                "does not solve for a task of its own; pass it, or make it a task of Outlast's"
            )
        self.signature = signature
        self._pack = signature.pack
        self._name = native.name
        return native.name
