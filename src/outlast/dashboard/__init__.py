"""The dashboard: pages about the jobs of a queue, drawn by the server. It calls public methods of the queue alone.

`gate` decides what reaches it, `site` ties pages and actions together, `asking` reads the store for them, `charts`
works out the pictures and `drawing` fills the templates. Loaded when `queue.dashboard()` is called, and not before.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from outlast.errors import OptionRefused

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from outlast.queue import TaskQueue


def dashboard_of(
    queue: TaskQueue,
    *,
    auth: Callable[..., Any] | None = None,
    read_only: bool | Callable[..., Any] = False,
) -> ASGIApp:
    """The dashboard of a queue, as an app to mount. Raises OptionRefused where Jinja2 is missing."""
    if find_spec("jinja2") is None:
        raise OptionRefused("queue.dashboard() needs Jinja2; install it: pip install 'outlast[dashboard]'")
    from outlast.dashboard.site import site_of

    return site_of(queue, auth=auth, read_only=read_only)
