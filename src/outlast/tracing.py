"""OpenTelemetry, where the process has it: the trace that a job is added in, and the span that an attempt runs in.

The one place that imports it, and only once somebody else has: without it nothing here costs more than a look.
Names and attributes follow its conventions for messaging. A job that is added makes no span of its own: nothing is sent
there, and the conventions then take the span around it for the one that made the message.
"""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from types import TracebackType
from typing import Any

from outlast.errors import Snooze

Carrier = dict[str, str]
"""What the propagators write: `traceparent`, `tracestate`, `baggage`, unless they are set to others."""

_SEEN_FOR = 0.01
"""Seconds that it is taken for unset: to ask costs more than all else around an attempt; it is set once, and early."""

_otel: Any = None
_ask_at = 0.0
"""When to ask again whether a global provider is set."""
_followed: Any = None
_tracer: tuple[Any, Any] = (None, None)


def follow(provider: Any) -> None:
    """Make spans by this provider instead of the global one: an app has it for its own."""
    global _followed
    _followed = provider


def carried() -> Carrier | None:
    """The current trace, to travel with a job; None where there is none."""
    otel = _otel or _loaded()
    if otel is None or not otel.get_current_span().get_span_context().is_valid:
        return None
    from opentelemetry import propagate

    carrier: Carrier = {}
    propagate.inject(carrier)
    return carrier or None


def is_seen(carrier: Carrier | None) -> bool:
    """Whether a Span for a job that came with this trace would do anything."""
    otel = _otel or _loaded()
    if otel is None:
        return False
    if carrier is not None:
        return True
    return _is_set(_followed) if _followed is not None else _is_one_set(otel)


def _is_one_set(otel: Any) -> bool:
    global _ask_at
    now = time.monotonic()
    if now < _ask_at:
        return False
    if _is_set(otel.get_tracer_provider()):
        return True
    _ask_at = now + _SEEN_FOR
    return False


def _loaded() -> Any:
    """OpenTelemetry's `trace`, if the process has it. To ask is all that it costs those who have not."""
    global _otel
    if "opentelemetry.trace" in sys.modules:
        from opentelemetry import trace

        _otel = trace
    return _otel


def _is_set(provider: Any) -> bool:
    """Whether it is more than what stands in until one is set. The API itself cannot be asked."""
    kind = type(provider)
    return kind.__name__ != "ProxyTracerProvider" or kind.__module__ != "opentelemetry.trace"


class Span:
    """Current while its block runs, with the trace and the baggage that came. An exception that leaves it is recorded.

    Where no provider is set it makes no span, but hands the trace on to what the block does.
    """

    def __init__(self, name: str, attributes: dict[str, str | int], carrier: Carrier | None) -> None:
        self._name = name
        self._attributes = attributes
        self._carrier = carrier

    def __enter__(self) -> None:
        from opentelemetry import context, propagate, trace

        came = propagate.extract(self._carrier or {}, context.Context())
        added = trace.get_current_span(came)
        provider = _followed or trace.get_tracer_provider()
        self._span = self._begin(provider, came, added) if _is_set(provider) else added
        self._token = context.attach(trace.set_span_in_context(self._span, came))

    def _begin(self, provider: Any, came: Any, added: Any) -> Any:
        """A child of the span that the job was added in, and linked to it: the conventions want a link in any case."""
        from opentelemetry.trace import Link, SpanKind

        context = added.get_span_context()
        return _tracer_of(provider).start_span(
            self._name,
            context=came,
            kind=SpanKind.CONSUMER,
            attributes=self._attributes,
            links=[Link(context)] if context.is_valid else [],
        )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        from opentelemetry import context

        context.detach(self._token)
        if not self._span.is_recording():
            return
        if error is not None and not isinstance(error, Snooze):
            with suppress(Exception):  # an exception of the user's may have no text
                _fail(self._span, error)
        self._span.end()


def _tracer_of(provider: Any) -> Any:
    global _tracer
    if _tracer[0] is not provider:
        _tracer = (provider, provider.get_tracer("outlast"))
    return _tracer[1]


def _fail(span: Any, error: BaseException) -> None:
    from opentelemetry.trace import Status, StatusCode

    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    span.set_attribute("error.type", name)
    span.set_status(Status(StatusCode.ERROR, f"{name}: {error}"))
    span.record_exception(error)
