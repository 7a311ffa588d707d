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


def describe(target: Target, **overrides: Any) -> Settings:
    """The settings of the TaskQueue that `target` leads to, with these fields replaced. Raises AppNotFound."""
    reading, writing = os.pipe()
    command = [sys.executable, "-P", "-m", "outlast.worker", "describe", str(writing)]
    question = json.dumps(target.to_message()).encode()
    with subprocess.Popen(command, pass_fds=[writing], stdin=subprocess.PIPE, stdout=sys.stderr) as process:
        os.close(writing)
        with open(reading, "rb") as answer:
            assert process.stdin is not None
            process.stdin.write(question)
            process.stdin.close()
            told = answer.read()
    if not told:
        raise AppNotFound(f"{target.name} does not import: what it said is above")
    fields = json.loads(told)
    if "error" in fields:
        raise AppNotFound(fields["error"])
    return replace(Settings.from_message(fields), **overrides)


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
