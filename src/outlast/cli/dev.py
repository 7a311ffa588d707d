"""`outlast dev`: a server that reloads, its worker, and one log of both, in one terminal."""

from __future__ import annotations

import os
import socket
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from outlast.cli.exits import UNUSABLE, Failure
from outlast.cli.options import AppArgument, AppStoreOption, FactoryOption, duration

if TYPE_CHECKING:
    from outlast.cli.apps import App


def dev(
    *,
    app: AppArgument = None,
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="The address to serve on; 0.0.0.0 for every network.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(metavar="PORT", min=0, max=65535, help="The port to serve on.")] = 8000,
    reload_dir: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FOLDER",
            exists=True,
            file_okay=False,
            help="A folder to watch; may be given again.",
            show_default="this folder",
        ),
    ] = None,
    grace: Annotated[
        str,
        typer.Option(
            envvar="OUTLAST_GRACE",
            metavar="DURATION",
            help="How long running jobs may take to finish at a reload or the end.",
        ),
    ] = "1s",
    factory: FactoryOption = False,
    store: AppStoreOption = None,
) -> None:
    """Serve an app while you work on it: reloading server, worker and log in one terminal.

    Each job is a line. Ctrl-C ends everything.

    A worker runs beside the server whatever the code says of it, unless OUTLAST_WORKER says otherwise.

    Example: outlast dev main:app --port 8001
    """
    from outlast.cli.apps import find_app

    duration(grace)
    found = find_app(app)
    if found.attribute is None:
        raise Failure(
            f"{found.module} has no FastAPI app in sight; name it, such as {found.module}:app", UNUSABLE
        )
    require_free(host, port, "outlast dev")
    _set_environment(store, grace)
    _greet(found, host, port, grace)
    _serve(found, host, port, reload_dir or [Path.cwd()], factory)


def require_free(host: str, port: int, command: str) -> None:
    """Raise Failure, with another port to try, where this one cannot be served on."""
    with closing(socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((host, port))
        except OSError as error:
            other = port + 1 if 1024 < port < 65535 else 8001
            told = f"cannot serve on {host}:{port}: {error.strerror}; try another: {command} --port {other}"
            raise Failure(told, UNUSABLE) from error


def _set_environment(store: str | None, grace: str) -> None:
    """Reaches the server through its restarts, and the worker through the server."""
    if store is not None:
        os.environ["OUTLAST_STORE"] = store
    os.environ.setdefault("OUTLAST_WORKER", "process")
    os.environ.setdefault("OUTLAST_LOG_LEVEL", "DEBUG")
    os.environ["OUTLAST_GRACE"] = grace


def _greet(found: App, host: str, port: int, grace: str) -> None:
    from outlast.cli.printing import hint, print_facts

    base = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    print_facts(
        [
            ("app", f"{found.name}{', ' + found.how if found.how else ''}"),
            ("server", f"{base}, its docs at {base}/docs; reloads when a file changes"),
            ("worker", f"{_worker()}; {grace} for running jobs when it must go"),
        ]
    )
    hint("Ctrl-C ends everything.\n")


def _worker() -> str:
    kind = os.environ["OUTLAST_WORKER"]
    return "beside the server" if kind == "process" else f"OUTLAST_WORKER={kind}"


def _serve(found: App, host: str, port: int, reload_dirs: list[Path], factory: bool) -> None:
    import uvicorn

    uvicorn.run(
        found.name,
        factory=factory,
        app_dir=str(found.folder),
        host=host,
        port=port,
        reload=True,
        reload_dirs=[str(folder) for folder in reload_dirs],
        log_config=_log_config(),
    )


def _log_config() -> dict[str, Any]:
    """Uvicorn's, and what Outlast says in the server in the same form."""
    from copy import deepcopy

    from uvicorn.config import LOGGING_CONFIG

    config: dict[str, Any] = deepcopy(LOGGING_CONFIG)
    config["loggers"]["outlast"] = {"handlers": ["default"], "level": "INFO", "propagate": False}
    return config
