"""Rows of SQLAlchemy and SQLModel: told by their mapper, and shown how to be loaded where the task runs. Pure.

Neither library is imported; a mapper is asked for what any version of it tells.
"""

from __future__ import annotations

import re
from typing import Any


def is_row(kind: type) -> bool:
    """Whether instances of the class belong to a session. A table of SQLModel is a Pydantic model as well."""
    return hasattr(kind, "__mapper__")


def cure_of_row(kind: type, argument: str, path: str, function: str, *, is_async: bool) -> str:
    """What to pass in place of the row at `path` of an argument, and the two lines that load it."""
    key = _primary_key(kind)
    name = _variable(kind) if path else argument
    given = ", ".join(f"{argument}{path}.{part}" for part in key)
    taken = ", ".join(f"{name}_{part}{annotation}" for part, annotation in key.items())
    identity = ", ".join(f"{name}_{part}" for part in key)
    if len(key) > 1:
        identity = f"({identity})"
    define, session, get = ("async def", "AsyncSession", "await session.get") if is_async else _PLAIN
    return (
        f"pass {given} and load it in the task:\n"
        f"    {define} {function.rpartition('.')[2]}({taken}, session: Annotated[{session}, Depends(get_session)]):\n"
        f"        {name} = {get}({kind.__name__}, {identity})"
    )


_PLAIN = ("def", "Session", "session.get")


def _variable(kind: type) -> str:
    """`order_item` for OrderItem."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", kind.__name__).lower()


def _primary_key(kind: Any) -> dict[str, str]:
    """The attributes of the class that make its key, each with the annotation of a parameter that takes it."""
    mapper = kind.__mapper__
    return {mapper.get_property_by_column(column).key: _annotation(column) for column in mapper.primary_key}


def _annotation(column: Any) -> str:
    try:
        kind = column.type.python_type
    except NotImplementedError:  # a type of the user's own need not say
        kind = object
    return "" if kind is object else f": {kind.__name__}"
