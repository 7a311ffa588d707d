"""The tables of a PostgreSQL store: which version they have, which this code wants, and the way from one to the other.

A migration is a numbered file of SQL, applied in one transaction by `outlast migrate`, which can also print it for
whoever applies it by hand. Whatever else uses the store only looks, and says what to do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from shlex import quote

from outlast.address import Address, address_of
from outlast.errors import StoreUnusable
from outlast.store import postgres_driver as driver

_LOCK = "SELECT pg_advisory_xact_lock(hashtext('outlast'), hashtext(%(schema)s))"


@dataclass(frozen=True, slots=True)
class Migration:
    """From the version before to this one."""

    number: int
    name: str
    sql: str

    def script(self, schema: str) -> str:
        """What `outlast migrate` does for it."""
        return (
            f'CREATE SCHEMA IF NOT EXISTS "{schema}";\n'
            f'SET LOCAL search_path = "{schema}";\n\n'
            f"{self.sql.strip()}\n\n"
            f"INSERT INTO schema_version (version) VALUES ({self.number});"
        )


@cache
def migrations() -> Sequence[Migration]:
    """All there are, in their order."""
    found = sorted(
        each.name
        for each in files("outlast.store").joinpath("migrations").iterdir()
        if each.name.startswith("postgres_")
    )
    return [
        Migration(number, name, files("outlast.store").joinpath(f"migrations/{name}").read_text("utf-8"))
        for number, name in enumerate(found, 1)
    ]


def require_schema(connection: driver.Connection, address: Address) -> None:
    """Raises StoreUnusable unless the tables are those that this code wants."""
    version, latest = _version(connection, address), len(migrations())
    if version == latest:
        return
    if version == 0:
        raise StoreUnusable(
            f"there are no tables of Outlast in {address.told} (schema {address.schema}); make them: "
            f"outlast migrate --store {quote(address.told)}"
        )
    if version < latest:
        raise StoreUnusable(
            f"the tables in {address.told} are of version {version}, and this Outlast wants {latest}; bring them up to "
            f"date: outlast migrate --store {quote(address.told)}"
        )
    raise StoreUnusable(
        f"the tables in {address.told} are of version {version}, of a newer Outlast (this one knows {latest}); upgrade "
        "outlast here. Nothing in them was changed"
    )


def facts_of(connection: driver.Connection, address: Address) -> dict[str, str]:
    """What a store knows of itself; nothing, where its tables are older."""
    table = f'"{address.schema}".facts'
    try:
        if not _is_there(connection, table):
            return {}
        rows = connection.execute(f"SELECT name, value FROM {table}".encode()).fetchall()  # noqa: S608
    except driver.DriverError as error:
        raise driver.explained(error, address.told) from error
    return {name: value for name, value in rows}  # noqa: C416


def pending(url: str) -> list[Migration]:
    """What `migrate` would apply. Raises StoreUnusable, NotConfirmed."""
    address = address_of(url)
    with driver.connect(address) as connection:
        return _pending(connection, address)


def migrate(url: str) -> list[Migration]:
    """Apply what is not applied yet, all or none; two who do it at once do it once. Says what was applied."""
    address = address_of(url)
    try:
        with driver.connect(address) as connection, connection.transaction():
            connection.execute(_LOCK, {"schema": address.schema})
            due = _pending(connection, address)
            for migration in due:
                connection.execute(migration.script(address.schema))
            return due
    except driver.NoRights as error:
        raise StoreUnusable(
            f"{address.told}: {driver.line_of(error)}; nothing was changed. Who makes the tables needs GRANT CREATE ON "
            "DATABASE …, and who changes them must own them: name that user, or print the SQL for them with --dry-run"
        ) from error
    except driver.DriverError as error:
        raise driver.explained(error, address.told) from error


def _pending(connection: driver.Connection, address: Address) -> list[Migration]:
    version = _version(connection, address)
    if version > len(migrations()):
        require_schema(connection, address)
    return list(migrations()[version:])


def _version(connection: driver.Connection, address: Address) -> int:
    """0 where there is none."""
    table = f'"{address.schema}".schema_version'
    try:
        if not _is_there(connection, table):
            return 0
        sql = f"SELECT coalesce(max(version), 0) FROM {table}"  # noqa: S608  # the schema's name is checked
        (version,) = connection.execute(sql).fetchone() or (0,)
    except driver.DriverError as error:
        raise driver.explained(error, address.told) from error
    return int(version)


def _is_there(connection: driver.Connection, table: str) -> bool:
    (found,) = connection.execute("SELECT to_regclass(%(table)s)", {"table": table}).fetchone() or (None,)
    return found is not None
