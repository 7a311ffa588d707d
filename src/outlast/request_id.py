"""The id of the request that a job was added in: by it the lines that servers and workers log are found together."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from contextvars import ContextVar

current: ContextVar[str | None] = ContextVar("outlast_request_id", default=None)
"""That of the attempt under way: what a task adds belongs to the request that its own job was added in."""
_HEADER = b"x-request-id"
_SANE = re.compile(rb"[A-Za-z0-9._:/+=@-]{1,128}")
"""What can stand in a log line and in JSON as it is: the client has chosen it."""


def given(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """What the client, or a proxy before us, calls the request in `X-Request-ID`; None where that is not sane."""
    for name, value in headers:
        if name.lower() == _HEADER:
            return value.decode("ascii") if _SANE.fullmatch(value) else None
    return None


def of(context: str | None) -> str | None:
    """That of a job, by the context it travels with."""
    return None if context is None else json.loads(context).get("request")


def told(context: str | None) -> str:
    """As a log line about a job ends with it."""
    request = of(context)
    return "" if request is None else f" request={request}"
