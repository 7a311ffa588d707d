"""Programs of Debian's that tests need and pip has not: found, or installed where this suite may do that.

Where everything must run (in CI, and for root on Linux, who can get what is missing) a test that cannot have what it
needs fails and says how to get it. On a contributor's own machine it is named in the summary as not run.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import NoReturn

import pytest

_POLICY = Path("/usr/sbin/policy-rc.d")
_INSTALL = ["apt-get", "install", "-y", "--no-install-recommends"]


def is_root_on_linux() -> bool:
    return sys.platform == "linux" and os.getuid() == 0


def missing(why: str) -> NoReturn:
    """What this test needs is not here."""
    if os.environ.get("CI") or is_root_on_linux():
        pytest.fail(why)
    pytest.skip(f"NOT RUN, but it is in CI: {why}")


def program(name: str, package: str) -> str:
    """The path of a program, whose package is installed if need be and may be."""
    found = _found(name)
    told = ""
    if found is None and is_root_on_linux() and shutil.which("apt-get"):
        told = _installed(name, package)
        found = _found(name)
    return found or missing(f"there is no {name} to test with; as root: {' '.join(_INSTALL)} {package}{told}")


def _found(name: str) -> str | None:
    """Also where only root's search path leads."""
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


@cache
def _installed(name: str, package: str) -> str:
    """Install it, one process of the suite at a time, and once; what went wrong, if anything did."""
    with (Path(tempfile.gettempdir()) / "outlast-apt.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if _found(name):
            return ""
        with _no_service_starts():
            error = _run([*_INSTALL, package])
            if error:  # its lists may be old, or not there yet
                error = _run(["apt-get", "update"]) or _run([*_INSTALL, package])
        return error and f"\n{error}"


def _run(command: list[str]) -> str:
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    ran = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    return "" if ran.returncode == 0 else f"{' '.join(command)}: {ran.stderr.strip() or ran.stdout.strip()}"


@contextmanager
def _no_service_starts() -> Iterator[None]:
    """A package of a server starts it when it is installed, unless this file says no (invoke-rc.d(8))."""
    if _POLICY.exists():
        yield
        return
    _POLICY.write_text("#!/bin/sh\nexit 101\n")
    _POLICY.chmod(0o755)
    try:
        yield
    finally:
        _POLICY.unlink()
