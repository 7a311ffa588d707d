"""The browser that tests look with: headless Chromium of Debian, which is installed where that may be done."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

PATH = Path("/usr/bin/chromium")
_INSTALL = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "chromium"]
# It calls nobody but the pages it is shown.
_QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def require_chromium() -> str:
    """Where it is; installed if need be. Never skipped: raises RuntimeError with the command that installs it."""
    named = os.environ.get("OUTLAST_TEST_CHROMIUM") or (str(PATH) if PATH.exists() else None)
    found = named or shutil.which("chromium") or shutil.which("google-chrome")
    if found is not None:
        return found
    if os.geteuid() == 0 and shutil.which("apt-get"):
        subprocess.run(["apt-get", "update", "-qq"], check=False, capture_output=True, timeout=300)
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        done = subprocess.run(
            _INSTALL, check=False, capture_output=True, text=True, timeout=600, env=environment
        )
        if PATH.exists():
            return str(PATH)
        raise RuntimeError(f"`{' '.join(_INSTALL)}` brought no {PATH}: {done.stderr[-500:]}")
    raise RuntimeError(
        "the pages are tried in Chromium, and there is none: as root `apt-get install chromium`, or name one with "
        "OUTLAST_TEST_CHROMIUM"
    )


class Window:
    """Opens pages, and keeps what went wrong in them."""

    def __init__(self, context: BrowserContext) -> None:
        self.context = context
        self.problems: list[str] = []

    def page(self, url: str) -> Page:
        """A new page, at an address."""
        page = self.context.new_page()
        page.set_default_timeout(15_000)
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self.problems.append(f"error: {error}"))
        page.on("dialog", lambda dialog: self.problems.append(f"dialog: {dialog.message}"))
        page.goto(url)
        return page

    def _on_console(self, message: object) -> None:
        kind, text = getattr(message, "type", ""), getattr(message, "text", "")
        if kind in ("error", "warning"):
            self.problems.append(f"{kind}: {text}")


@contextmanager
def started() -> Iterator[Browser]:
    """A browser with an empty profile of its own. While it lasts, no asyncio loop can run in this thread."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=require_chromium(), args=_QUIET)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def new_window(browser: Browser, **options: Any) -> Iterator[Window]:
    """A window that knows nothing of the others: no cookies, nothing kept."""
    context = browser.new_context(**options)
    try:
        yield Window(context)
    finally:
        context.close()
