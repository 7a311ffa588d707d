"""Learns an app's settings without importing it here, and becomes its supervisor: what `outlast worker` does.

A process of its own imports the app and says what its TaskQueue wants; this one then turns itself into the lean
supervisor, with the same process id, so that signals reach it straight.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from typing import Any, NoReturn

from outlast.errors import AppNotFound, OutlastError
from outlast.target import Target
from outlast.worker.settings import Settings

_STDERR = 2
"""What the app prints while it is imported: standard output is for the answer of the command."""


def describe(target: Target, **overrides: Any) -> Settings:
    """The settings of the TaskQueue that `target` leads to, with these fields replaced. Raises AppNotFound."""
    settings = Settings.from_message(ask(target, "outlast.worker", "describe"))
    if settings.hands_all_over:
        overrides.pop("children", None)  # there is nothing for them to run
    return replace(settings, **overrides)


def ask(
    target: Target, module: str, *words: str, store: str | None = None, **more: str | None
) -> dict[str, Any]:
    """What `python -m module words…` tells of the app, whose target it reads from standard input, and `more` with it.

    The app uses its own store, or this one. The process writes to the descriptor that is its last word. Raises
    AppNotFound with the `error` that it tells.
    """
    reading, writing = os.pipe()
    command = [sys.executable, "-P", "-m", module, *words, str(writing)]
    environment = os.environ if store is None else {**os.environ, "OUTLAST_STORE": store}
    with subprocess.Popen(
        command, pass_fds=[writing], stdin=subprocess.PIPE, stdout=_STDERR, env=environment
    ) as process:
        os.close(writing)
        try:
            with open(reading, "rb") as answer:
                assert process.stdin is not None
                process.stdin.write(json.dumps({**target.to_message(), **more}).encode())
                process.stdin.close()
                told: dict[str, Any] = json.loads(answer.read() or "{}")
        except BaseException:  # such as Ctrl-C, which an app that is being imported may ignore
            process.kill()
            raise
    if not told:
        raise AppNotFound(f"{target.name} cannot be imported: what it said is above")
    if "error" in told:
        raise AppNotFound(told["error"])
    return told


def answer(descriptor: int) -> int:
    """The other side of `describe`: import the app that standard input names, and say its settings."""
    from outlast import role
    from outlast.worker.app import find_queue, settings_of

    role.enter_worker()
    target = Target.from_message(json.load(sys.stdin))
    try:
        told = settings_of(find_queue(target), target).to_message()
    except OutlastError as error:
        told = {"error": str(error)}
    with open(descriptor, "w") as out:
        json.dump(told, out)
    return 0


def become_supervisor(settings: Settings) -> NoReturn:
    """Turn this process into the supervisor of these settings."""
    reading, writing = os.pipe()
    os.write(writing, json.dumps(settings.to_message()).encode() + b"\n")
    os.close(writing)
    os.set_inheritable(reading, True)
    os.execv(sys.executable, [sys.executable, "-P", "-m", "outlast.worker", "supervise", str(reading)])
