"""What travels with a job beside its arguments: the request's id, the trace, and the registered context variables.

Written as JSON where the job is added, and read before its attempt. Setting it is for the worker's `surroundings`.

    {"request": "7f3c", "queue": "mail", "trace": {"traceparent": "00-…"}, "variables": {"tenant": "acme"}}

The queue goes with the trace alone: it is what a span wants to know and a claimed job does not.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from outlast import request_id, tracing
from outlast.errors import LuggageMisfit, OptionRefused
from outlast.luggage import pack_value, unpack_value

_log = logging.getLogger("outlast.worker")
_missing: set[str] = set()
"""Variables that jobs carried and this code does not register, as far as it has been said."""


class Variables:
    """The context variables that travel, by their names. Raises OptionRefused."""

    def __init__(self, variables: Iterable[ContextVar[Any]] = ()) -> None:
        self._named: dict[str, ContextVar[Any]] = {}
        for variable in _each(variables):
            if self._named.setdefault(variable.name, variable) is not variable:
                raise OptionRefused(
                    f"context: two variables are named {variable.name!r}, by which they travel; rename one"
                )

    def __bool__(self) -> bool:
        return bool(self._named)

    def pack(self, limit: int) -> str | None:
        """Those that are set, each of at most so many bytes. Raises LuggageRefused, LuggageTooLarge."""
        texts = [
            f"{json.dumps(name)}:{pack_value(value, f'the context variable {name!r}', limit=limit)}"
            for name, variable in self._named.items()
            if (value := variable.get(_UNSET)) is not _UNSET
        ]
        return "{" + ",".join(texts) + "}" if texts else None

    def read(self, packed: dict[str, Any], job: str) -> list[tuple[ContextVar[Any], Any]]:
        """What `pack` wrote, for the variables of this code. Raises LuggageMisfit."""
        for name in packed.keys() - self._named.keys() - _missing:
            _missing.add(name)
            _log.warning(
                "context variable %r not set: this code does not register it; first carried by id=%s",
                name,
                job,
            )
        return [(self._named[name], _read(name, packed[name])) for name in packed if name in self._named]


_UNSET: Any = object()


def _each(variables: Any) -> list[ContextVar[Any]]:
    given: list[Any] = list(variables) if isinstance(variables, Iterable) else [None]
    if not all(isinstance(each, ContextVar) for each in given):
        raise OptionRefused(f"context={variables!r}: give a list of contextvars.ContextVar objects")
    return given


def _read(name: str, packed: Any) -> Any:
    try:
        return unpack_value(json.dumps(packed))
    except LuggageMisfit as error:
        raise LuggageMisfit(f"the context variable {name!r}: {error}") from error


def capture(queue: str, request: str | None, variables: Variables, limit: int) -> str | None:
    """What travels with a job added to `queue` here and now; None where there is nothing, as for most.

    Raises LuggageRefused, LuggageTooLarge for a variable that cannot travel.
    """
    trace = tracing.carried()
    if trace is None and not variables:
        return None if request is None else f'{{"request":"{request}"}}'
    packed = variables.pack(limit)
    parts = [
        "" if request is None else f'"request":"{request}"',
        "" if trace is None else f'"queue":{json.dumps(queue)},"trace":{json.dumps(trace)}',
        "" if packed is None else f'"variables":{packed}',
    ]
    text = ",".join(filter(None, parts))
    return "{" + text + "}" if text else None


@dataclass(frozen=True, slots=True)
class Carried:
    """What came with a job."""

    request: str | None = None
    queue: str | None = None
    """Known where a trace came."""
    trace: tracing.Carrier | None = None
    values: Sequence[tuple[ContextVar[Any], Any]] = ()
    """What to set while it runs."""


_NOTHING = Carried()


def read(context: str | None, variables: Variables, job: str) -> Carried:
    """What came with a job, for code that registers these variables. Raises LuggageMisfit."""
    if context is None:
        return _NOTHING
    found = json.loads(context)
    values = variables.read(found.get("variables", {}), job)
    request = found.get("request")
    if request is not None:
        values.append((request_id.current, request))
    return Carried(request, found.get("queue"), found.get("trace"), values)
