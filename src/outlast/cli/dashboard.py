"""`outlast dashboard`: serves the dashboard of an app alone, to this machine."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any

import typer

from outlast.cli.dev import require_free
from outlast.cli.exits import UNUSABLE, Failure
from outlast.cli.options import AppArgument, AppStoreOption, FactoryOption

if TYPE_CHECKING:
    from outlast.cli.apps import App
    from outlast.queue import TaskQueue

_HOST = "127.0.0.1"


def dashboard(
    *,
    app: AppArgument = None,
    port: Annotated[int, typer.Option(metavar="PORT", min=0, max=65535, help="The port to serve on.")] = 8001,
    read_only: Annotated[bool, typer.Option("--read-only", help="Let it change nothing.")] = False,
    open_browser: Annotated[bool, typer.Option("--open", help="Open it in your browser.")] = False,
    factory: FactoryOption = False,
    store: AppStoreOption = None,
) -> None:
    """Serve the dashboard of an app on its own, to browsers on this machine alone.

    The app is imported, but not started: its lifespan does not run. Ctrl-C ends it.

    Example: outlast dashboard main:app --port 9000
    """
    from outlast.cli.apps import find_app

    found = find_app(app)
    if store is not None:
        os.environ["OUTLAST_STORE"] = store
    require_free(_HOST, port, "outlast dashboard")
    queue = _queue_of(found, factory)
    _serve(queue, found, port, queue.dashboard(read_only=read_only), open_browser)


def _queue_of(found: App, factory: bool) -> Any:
    """Raises AppNotFound, and Failure for a store that nobody else can see."""
    from outlast import role
    from outlast.worker.app import find_queue

    role.enter_worker()
    queue: TaskQueue = find_queue(found.target(factory=factory))
    if queue.is_in_memory:
        raise Failure(
            "the store of this app is in memory, and known to the app's own process alone; "
            'mount the dashboard there: app.mount("/outlast", queue.dashboard())',
            UNUSABLE,
        )
    return queue


def _serve(queue: TaskQueue, found: App, port: int, site: Any, open_browser: bool) -> None:
    import socket

    import uvicorn

    from outlast.address import shown
    from outlast.cli.printing import hint, print_facts

    listening = socket.create_server((_HOST, port))
    url = f"http://{_HOST}:{listening.getsockname()[1]}/"
    print_facts(
        [
            ("dashboard", url),
            ("app", f"{found.name}{', ' + found.how if found.how else ''}"),
            ("store", shown(queue.url)),
        ]
    )
    hint("Ctrl-C ends it.")
    if open_browser:
        typer.launch(url)
    config = uvicorn.Config(site, log_level="warning", lifespan="off", proxy_headers=False)
    with suppress(KeyboardInterrupt):  # how it is meant to end
        uvicorn.Server(config).run(sockets=[listening])
    queue.close()
