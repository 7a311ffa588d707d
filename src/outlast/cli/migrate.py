"""`outlast migrate`: brings the tables of a PostgreSQL store up to date, or prints what would do so."""

from __future__ import annotations

from typing import Annotated

import typer

from outlast.cli.exits import UNUSABLE, Failure
from outlast.cli.options import DEFAULT_STORE, JsonOption, StoreOption
from outlast.cli.printing import hint, print_json, say


def migrate(
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the SQL that would be applied, and change nothing.")
    ] = False,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Make the tables of a PostgreSQL store, or bring them up to date.

    All or nothing, and safe to run twice or from several machines at once. An SQLite store needs none of this.

    Example: outlast migrate --store postgresql://user@host/database
    """
    from outlast.address import address_of, is_postgres
    from outlast.store import store_url

    if not is_postgres(store):
        raise Failure(
            f"{store_url(store)} needs no migration: an SQLite store is brought up to date when it is opened; "
            "name a PostgreSQL store: --store postgresql://user@host/database",
            UNUSABLE,
        )
    from outlast.store import postgres_schema

    address = address_of(store)
    due = postgres_schema.pending(store) if dry_run else postgres_schema.migrate(store)
    if as_json:
        print_json({"applied" if not dry_run else "pending": [migration.name for migration in due]})
        return
    for migration in due:
        if dry_run:
            typer.echo(f"-- {migration.name}\nBEGIN;\n{migration.script(address.schema)}\nCOMMIT;\n")
        else:
            say(f"Applied {migration.name}.")
    if not due:
        hint(f"{address.told} is up to date (schema {address.schema}); there is nothing to apply.")
