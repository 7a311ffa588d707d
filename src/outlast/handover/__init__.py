"""Handover: the workers of Celery, RQ or Dramatiq run the jobs, and the store stays the record.

The public names, and nothing else. Each is loaded when it is first used, and an engine only with its own: without
Celery, whoever uses RQ misses nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from outlast.handover.celery import CeleryHandover as CeleryHandover
    from outlast.handover.dramatiq import DramatiqHandover as DramatiqHandover
    from outlast.handover.rq import RQHandover as RQHandover
    from outlast.handover.rq import RQWorker as RQWorker

_HOME_OF = {
    "CeleryHandover": "outlast.handover.celery",
    "DramatiqHandover": "outlast.handover.dramatiq",
    "RQHandover": "outlast.handover.rq",
    "RQWorker": "outlast.handover.rq",
}

__all__ = sorted(_HOME_OF)  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module 'outlast.handover' has no attribute {name!r}")
    globals()[name] = found = getattr(import_module(home), name)
    return found


def __dir__() -> list[str]:
    return [*globals(), *__all__]
