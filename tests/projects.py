"""pytest in the project of a user: a process of its own."""

import subprocess
import sys
from pathlib import Path

_TOOLS_OF_OUR_OWN = ("schemathesis", "hypothesispytest", "valkey")
"""Plugins that are there for our own suite, and would take most of the time."""
WITHOUT_ASYNCIO = ("-p", "no:asyncio")
"""For projects whose settings say nothing of pytest-asyncio, and get a warning from it."""


def pytest_in(project: Path, *args: str) -> subprocess.CompletedProcess[str]:
    """Run its tests in development mode, with every warning an error; nothing is written beside them."""
    plugins = [word for name in _TOOLS_OF_OUR_OWN for word in ("-p", f"no:{name}")]
    plain = ["-q", "-p", "no:cacheprovider", *plugins, "-W", "error"]
    command = [sys.executable, "-B", "-X", "dev", "-m", "pytest", *plain, *args]
    return subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=120, check=False)
