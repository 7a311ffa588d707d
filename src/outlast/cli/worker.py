"""`outlast worker`: learns the settings of an app, then turns this process into its supervisor."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from outlast.cli.options import (
    AppArgument,
    AppStoreOption,
    FactoryOption,
    GraceOption,
    LogLevel,
    LogLevelOption,
    names,
)

if TYPE_CHECKING:
    from outlast.worker.settings import Settings


def worker(
    *,
    app: AppArgument = None,
    queues: Annotated[
        str | None,
        typer.Option(metavar="NAME,NAME", help="Serve only these queues.", show_default="all queues"),
    ] = None,
    children: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, help="Processes that run jobs.", show_default="the app's, or one a core"
        ),
    ] = None,
    slots: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, help="Jobs that one process runs at once.", show_default="the app's, or 40"
        ),
    ] = None,
    grace: GraceOption = None,
    factory: FactoryOption = False,
    log_level: LogLevelOption = None,
    http: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Answer /metrics and /healthz there.", show_default="nowhere"),
    ] = None,
    store: AppStoreOption = None,
) -> None:
    """Run a worker for an app, on its own or beside that of a server.

    Ctrl-C or SIGTERM lets running jobs finish within the grace; a second one hands them back at once.

    Example: outlast worker main:app --queues mail,reports --children 2
    """
    settings = settings_of(
        app,
        factory=factory,
        store=store,
        queues=names(queues),
        children=children,
        slots=slots,
        grace=grace,
        log_level=log_level,
        http=http,
    )
    become(settings)


def settings_of(
    app: str | None, *, factory: bool, store: str | None, log_level: LogLevel | None, **given: Any
) -> Settings:
    """What the app's TaskQueue wants, but for what is given here and not None. Raises Failure, AppNotFound."""
    from outlast.cli.apps import find_app
    from outlast.cli.printing import hint
    from outlast.worker.describe import describe

    found = find_app(app)
    if found.how:
        hint(f"App: {found.name}, {found.how}")
    if store is not None:
        os.environ["OUTLAST_STORE"] = store
    given["log_level"] = None if log_level is None else log_level.upper()
    return describe(
        found.target(factory=factory), **{name: value for name, value in given.items() if value is not None}
    )


def become(settings: Settings) -> NoReturn:
    """Turn this process into the supervisor of these settings, once the store is there. Raises StoreError."""
    from outlast.worker.describe import become_supervisor

    _try_store(settings)
    sys.stdout.flush()
    sys.stderr.flush()
    become_supervisor(settings)


def _try_store(settings: Settings) -> None:
    """What is wrong with it is told here, in one line. Raises StoreError."""
    from outlast.store import open_store

    if settings.migrate:
        from outlast.store.postgres_schema import migrate

        migrate(settings.url)
    store = open_store(settings.url)
    try:
        store.workers()
    finally:
        store.close()
