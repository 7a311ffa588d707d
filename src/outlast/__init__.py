"""Outlast: a durable task queue for FastAPI, behind the BackgroundTasks you already write.

The public names, and nothing else. Each is loaded when it is first used: the worker's supervisor imports this package
and must not load FastAPI.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from outlast.errors import AppNotFound as AppNotFound
    from outlast.errors import AppRefused as AppRefused
    from outlast.errors import Fail as Fail
    from outlast.errors import FileMissing as FileMissing
    from outlast.errors import FileTooLarge as FileTooLarge
    from outlast.errors import JobFailed as JobFailed
    from outlast.errors import JobNotFound as JobNotFound
    from outlast.errors import LuggageMisfit as LuggageMisfit
    from outlast.errors import LuggageRefused as LuggageRefused
    from outlast.errors import LuggageTooLarge as LuggageTooLarge
    from outlast.errors import NotConfirmed as NotConfirmed
    from outlast.errors import OptionRefused as OptionRefused
    from outlast.errors import OutlastError as OutlastError
    from outlast.errors import Retry as Retry
    from outlast.errors import Snooze as Snooze
    from outlast.errors import StoreError as StoreError
    from outlast.errors import StoreUnusable as StoreUnusable
    from outlast.errors import TaskRefused as TaskRefused
    from outlast.errors import TaskUnknown as TaskUnknown
    from outlast.explain import Explanation as Explanation
    from outlast.explain import Why as Why
    from outlast.fastapi.queue import TaskQueue as TaskQueue
    from outlast.fastapi.tasks import BackgroundTasks as BackgroundTasks
    from outlast.handle import Job as Job
    from outlast.job import Attempt as Attempt
    from outlast.job import JobRecord as JobRecord
    from outlast.job import LogLine as LogLine
    from outlast.job import Progress as Progress
    from outlast.job import Reason as Reason
    from outlast.job import State as State
    from outlast.retry import RetryPolicy as RetryPolicy
    from outlast.role import in_worker as in_worker
    from outlast.task import Task as Task
    from outlast.worker.surroundings import CurrentJob as CurrentJob
    from outlast.worker.surroundings import current_job as current_job

_HOMES = {
    "outlast.errors": (
        "AppNotFound AppRefused Fail FileMissing FileTooLarge JobFailed JobNotFound LuggageMisfit LuggageRefused "
        "LuggageTooLarge NotConfirmed OptionRefused OutlastError Retry Snooze StoreError StoreUnusable TaskRefused "
        "TaskUnknown"
    ),
    "outlast.explain": "Explanation Why",
    "outlast.fastapi.queue": "TaskQueue",
    "outlast.fastapi.tasks": "BackgroundTasks",
    "outlast.handle": "Job",
    "outlast.job": "Attempt JobRecord LogLine Progress Reason State",
    "outlast.retry": "RetryPolicy",
    "outlast.role": "in_worker",
    "outlast.task": "Task",
    "outlast.worker.surroundings": "CurrentJob current_job",
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names.split()}

__all__ = sorted(_HOME_OF)  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module 'outlast' has no attribute {name!r}")
    globals()[name] = found = getattr(import_module(home), name)
    return found


def __dir__() -> list[str]:
    return [*globals(), *__all__]
