"""Rows of a PostgreSQL store, written on a connection that is not ours, in the transaction of its owner.

It knows the statements and what to make of their answers; whoever knows the connection runs them. They are in our
dialect, `:name` for a parameter, and their parameters are texts, numbers and lists of these: any driver carries them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from outlast.address import address_of
from outlast.errors import OptionRefused
from outlast.job import NewJob
from outlast.store import Store
from outlast.store.postgres import SQL, PostgresStore, columns_of
from outlast.store.postgres_connection import in_schema

Row = Sequence[Any]


class Statement(NamedTuple):
    """What to run."""

    sql: str
    parameters: dict[str, Any]
    answers: bool = True
    """Whether it has rows to tell."""


def insert(url: str, jobs: Sequence[NewJob]) -> Statement:
    """Writes rows, in their order."""
    return _statement("insert", url, columns_of(jobs))._replace(answers=False)


def chain(url: str, job: NewJob, earlier: Sequence[str]) -> Statement:
    """Lets a job wait for the last of those earlier ones that this transaction has written and not taken back.

    Answers with one row if there is such a one.
    """
    return _statement("chain", url, {"id": job.id, "earlier": list(earlier)})


def transaction(url: str) -> Statement:
    """Answers with the number of the transaction: savepoints have that of the whole."""
    return _statement("transaction", url, {})


def whereabouts(url: str) -> Statement:
    """Answers with what tells these tables from all others, and whether we may write jobs; with no row without any."""
    return _statement("whereabouts", url, {"schema": address_of(url).schema})


def whereabouts_of(store: Store) -> str:
    """The same of a store itself, as a text."""
    assert isinstance(store, PostgresStore)
    return store.whereabouts()


def require_same(url: str, found: Row | None, ours: str) -> None:
    """Raises OptionRefused unless a connection has found the tables of the store, and may write there."""
    address = address_of(url)
    if found is None or found[0] != ours:
        what = (
            f"has no tables of Outlast in its schema {address.schema}" if found is None else "is another one"
        )
        raise OptionRefused(
            f"the session's database {what}; give a session of the database that the TaskQueue has its store in: "
            f"{address.told}"
        )
    if not found[1]:
        raise OptionRefused(
            f"the session's user may not write jobs to {address.told}; "
            f"GRANT USAGE ON SCHEMA {address.schema} TO …; "
            f"GRANT SELECT, INSERT, UPDATE ON {address.schema}.jobs TO …"
        )


def _statement(name: str, url: str, parameters: dict[str, Any]) -> Statement:
    return Statement(in_schema(SQL[name], address_of(url).schema), parameters)
