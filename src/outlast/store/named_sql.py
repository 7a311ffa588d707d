"""SQL kept as SQL: reads a file of statements, each under its `-- name: …` line."""

from __future__ import annotations

import re
from importlib.resources import files


def named_sql(resource: str) -> dict[str, str]:
    """The statements of a file of this package, by name."""
    text = files("outlast.store").joinpath(resource).read_text(encoding="utf-8")
    _, *parts = re.split(r"^-- name: (\w+)\n", text, flags=re.MULTILINE)
    return {name: sql.strip() for name, sql in zip(parts[::2], parts[1::2], strict=True)}
