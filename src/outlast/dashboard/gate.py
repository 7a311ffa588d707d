"""What reaches the dashboard, and what browsers may do with its answers. Who comes in is for the app's own `auth`.

1. Without `auth`, only a browser on the same machine that no proxy stands before.
2. What changes anything must come from a page of the dashboard itself: browsers say so in `Sec-Fetch-Site`.
3. Nothing of another origin is loaded, framed or told where the reader came from, and no script lies in a page.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY = "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"
_HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_SAFE = ("GET", "HEAD", "OPTIONS")
_OF_PROXIES = ("forwarded", "via", "x-real-ip", "cf-connecting-ip", "true-client-ip", "x-client-ip")
_CURE = "To open it to others, say who may come in: queue.dashboard(auth=…), a dependency of your app."
_NO_AUTH = "This dashboard has no `auth`, so it answers"
_OWN = "What changes something must come from a page of this dashboard, and this request"

Refuse = Callable[[int, str, str], ASGIApp]
"""What answers with a status, a title and a text."""


class Gate:
    """Stands before the dashboard."""

    def __init__(self, app: ASGIApp, *, is_open: bool, refuse: Refuse) -> None:
        self._app = app
        self._is_open = is_open
        self._refuse = refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        await (self._refusal(scope) or self._app)(scope, receive, guarded)

    def _refusal(self, scope: Scope) -> ASGIApp | None:
        why = None if self._is_open or _is_static(scope) else why_not_local(scope)
        if why is not None:
            return self._refuse(403, "Only from this machine", f"{why} {_CURE}")
        why = why_not_own(scope)
        return None if why is None else self._refuse(403, "Not from a page of the dashboard", why)


def why_not_local(scope: Scope) -> str | None:
    """Why a request is not plainly that of a browser on this machine; None if it is.

    A proxy on this machine is a client on this machine: what proxies add gives it away, or the name it is called by.
    """
    headers = Headers(scope=scope)
    client = (scope.get("client") or ("",))[0]
    if not _is_loopback(client):
        return f"{_NO_AUTH} this machine alone, and this request comes from {client or 'a socket'}."
    added = [name for name in headers if name in _OF_PROXIES or name.startswith("x-forwarded-")]
    if added or scope.get("http_version") == "1.0":
        by = f"the header {added[0]}" if added else "HTTP/1.0"
        return f"{_NO_AUTH} this machine alone, and this request came through a proxy ({by})."
    host = _host(headers.get("host", ""))
    if host != "localhost" and not host.endswith(".localhost") and not _is_loopback(host):
        asked = host or "no name"
        return f"{_NO_AUTH} only to the name localhost or 127.0.0.1, and this request asks for {asked}."
    return None


def why_not_own(scope: Scope) -> str | None:
    """Why a request that changes something may be forged; None if it is not."""
    told = Headers(scope=scope).get("sec-fetch-site")
    if scope["method"] in _SAFE or told == "same-origin":
        return None
    if told is None:
        return (
            f"{_OWN} does not say where it comes from (no header Sec-Fetch-Site). Browsers say so over HTTPS and on "
            "localhost: serve the dashboard there."
        )
    return f"{_OWN} comes from elsewhere ({told})."


def _is_static(scope: Scope) -> bool:
    path: str = scope["path"].removeprefix(scope.get("root_path", ""))
    return scope["method"] in _SAFE and path.startswith("/static/")


def _host(header: str) -> str:
    """Without the port."""
    if header.startswith("["):
        return header[1:].partition("]")[0]
    return header.partition(":")[0].lower()


def _is_loopback(host: str) -> bool:
    try:
        address = ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback
