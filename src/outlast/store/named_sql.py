"""SQL kept as SQL: reads files of statements, each under its `-- name: …` line."""

from __future__ import annotations

import re
from importlib.resources import files

from outlast.statistics import COLUMNS

_COLUMNS = {
    "{columns}": ", ".join(COLUMNS),
    "{values}": ", ".join(f":{name}" for name in COLUMNS),
    "{added}": ", ".join(f"{name} = statistics.{name} + excluded.{name}" for name in COLUMNS),
    "{sums}": ", ".join(f"sum({name})" for name in COLUMNS),
}
"""What stands in the files for the many columns of the statistics."""


def named_sql(dialect: str) -> dict[str, str]:
    """The statements of a dialect, by name: its own, and those that both have."""
    return _statements("both.sql") | _statements(f"{dialect}.sql")


def _statements(resource: str) -> dict[str, str]:
    text = files("outlast.store").joinpath(resource).read_text(encoding="utf-8")
    for mark, columns in _COLUMNS.items():
        text = text.replace(mark, columns)
    _, *parts = re.split(r"^-- name: (\w+)\n", text, flags=re.MULTILINE)
    return {name: sql.strip() for name, sql in zip(parts[::2], parts[1::2], strict=True)}
