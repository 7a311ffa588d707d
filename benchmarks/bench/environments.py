"""Environments of other task queues: each in a folder of its own, with pinned packages."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bench.processes import HERE, run
from bench.setting import Setting

_FOLDER = HERE / ".peers"
_NEWER = 5
"""Versions of Python that are looked for."""


@dataclass(frozen=True, slots=True)
class Environment:
    """One that is made when it is first asked for, and anew when its packages change."""

    name: str
    packages: tuple[str, ...]
    at_least: tuple[int, int] = (0, 0)
    """The version of Python that the packages need."""

    def binary(self, name: str) -> str:
        """The path of a command in it."""
        return str(_FOLDER / self.name / "bin" / name)

    def missing(self) -> str:
        """Why it cannot be made; empty if it can."""
        if self._interpreter() is not None:
            return ""
        wanted = ".".join(map(str, self.at_least))
        return f"skipped: it needs Python {wanted} or newer, on the path or of pyenv"

    def _interpreter(self) -> str | None:
        """This one, or else the oldest that is new enough."""
        if sys.version_info[:2] >= self.at_least:
            return sys.executable
        major, minor = self.at_least
        found = (_python(f"{major}.{each}") for each in range(minor, minor + _NEWER))
        return next(filter(None, found), None)

    def set_up(self, setting: Setting) -> None:
        """Make it, if need be. Raises Broken."""
        stamp = _FOLDER / self.name / "packages"
        if stamp.exists() and stamp.read_text().split() == list(self.packages):
            return
        setting.say(f"setting up an environment with {', '.join(self.packages)}")
        run([self._interpreter() or sys.executable, "-m", "venv", "--clear", str(stamp.parent)])
        install = ["-m", "pip", "install", "-qq", "--disable-pip-version-check", "--no-input"]
        run([self.binary("python"), *install, *self.packages], seconds=600)
        stamp.write_text("\n".join(self.packages))

    def call(self, *words: str, environment: Mapping[str, str], seconds: float = 120) -> str:
        """Run its `python -m …` to the end; what it printed. Raises Broken."""
        return run([self.binary("python"), "-m", *words], environment, seconds=seconds)


def _python(version: str) -> str | None:
    """A Python of a version: pyenv's commands on the path need not be one."""
    of_pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")).glob(
        f"versions/{version}.*/bin/python"
    )
    for command in (f"python{version}", *map(str, of_pyenv)):
        with suppress(OSError, subprocess.SubprocessError):
            subprocess.run([command, "--version"], capture_output=True, timeout=30, check=True)
            return command
    return None
