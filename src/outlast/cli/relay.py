"""`outlast relay`: a supervisor that runs no job: it publishes those of the queues that are handed over."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from outlast.cli.exits import UNUSABLE, Failure
from outlast.cli.options import AppArgument, AppStoreOption, FactoryOption, GraceOption, LogLevelOption
from outlast.cli.worker import become, settings_of

if TYPE_CHECKING:
    from outlast.worker.settings import Settings


def relay(
    *,
    app: AppArgument = None,
    grace: GraceOption = None,
    factory: FactoryOption = False,
    log_level: LogLevelOption = None,
    store: AppStoreOption = None,
) -> None:
    """Publish the jobs of an app that Celery, RQ or Dramatiq workers run, and run none.

    A server does it by itself. Alone it is for TaskQueue(worker="external", handover=…).

    Example: outlast relay main:app
    """
    settings = settings_of(app, factory=factory, store=store, log_level=log_level, grace=grace)
    become(_relaying(settings))


def _relaying(settings: Settings) -> Settings:
    if not settings.handed:
        raise Failure(
            "this app hands no queue over, so there is nothing to relay; say TaskQueue(app, handover=…), or start "
            "`outlast worker`",
            UNUSABLE,
        )
    names = tuple(each.queue for each in settings.handed if each.queue is not None)
    return replace(settings, children=0, queues=None if settings.hands_all_over else names)
