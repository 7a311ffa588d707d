"""The driver of PostgreSQL: the one module that imports psycopg. It connects, and says in our words what went wrong.

It keeps nothing in a session that may not be ours, so that a proxy which pools transactions does no harm.
"""

from __future__ import annotations

from typing import Any

from outlast.address import Address
from outlast.errors import NotConfirmed, StoreError, StoreUnusable
from outlast.store.moved import SQLSTATE, moved_away

try:
    import psycopg
except ImportError as error:
    raise StoreUnusable(
        f"a PostgreSQL store needs psycopg, which is not here ({error}); pip install 'outlast[postgres]'"
    ) from error

Connection = psycopg.Connection[Any]
Cursor = psycopg.Cursor[Any]
DriverError = psycopg.Error
NoRights = psycopg.errors.InsufficientPrivilege
# A network that is cut is noticed well within a lease: whoever waits for an answer waits for seconds, not for the
# quarter of an hour that TCP takes.
_PATIENCE = {
    "connect_timeout": 2,
    "tcp_user_timeout": 4000,
    "keepalives_idle": 2,
    "keepalives_interval": 1,
    "keepalives_count": 3,
}


_OFTEN = 3
"""Times that a statement is run before it is prepared, where that is allowed."""


def connect(address: Address) -> Connection:
    """A new connection; each statement outside a transaction is its own. Raises NotConfirmed, StoreUnusable."""
    try:
        return psycopg.connect(
            **{"application_name": "outlast", **_PATIENCE, **address.parameters},
            autocommit=True,
            prepare_threshold=_OFTEN,
        )
    except psycopg.OperationalError as error:
        raise NotConfirmed(
            f"{address.told} cannot be reached: {line_of(error)}; check that PostgreSQL runs there, and that this user "
            "and password may connect to this database"
        ) from error
    except psycopg.Error as error:
        raise StoreUnusable(
            f"{address.told} is no address of a PostgreSQL database: {line_of(error)}"
        ) from error


def plain_cursor(connection: Any) -> Any:
    """A cursor of somebody else's connection, whatever rows that makes by itself: ours are tuples."""
    return connection.cursor(row_factory=psycopg.rows.tuple_row)


def is_pooled(connection: Connection) -> bool:
    """Whether a proxy hands us from one server process to another: then the session is nobody's."""
    (told,) = connection.execute("SELECT pg_backend_pid()").fetchone() or (0,)
    return bool(told != connection.info.backend_pid)


def explained(error: psycopg.Error, told: str) -> StoreError:
    """What an error means, and what to do."""
    line = line_of(error)
    if error.sqlstate == SQLSTATE:
        return moved_away(told, error.diag.message_detail or "")
    if isinstance(error, psycopg.errors.IntegrityError):
        return StoreError(
            f"{told} refused a row that breaks one of its rules ({line}); this is a defect of Outlast or of who wrote "
            "the row"
        )
    if isinstance(error, psycopg.errors.UndefinedTable | psycopg.errors.UndefinedColumn):
        return StoreUnusable(
            f"the tables of {told} are gone or were changed ({line}); look: outlast migrate --dry-run"
        )
    if isinstance(error, NoRights):
        return StoreUnusable(f"{told}: {line}; grant this user the tables of the schema, or name their owner")
    if isinstance(error, psycopg.errors.ReadOnlySqlTransaction):
        return NotConfirmed(
            f"{told} is a standby, or read-only ({line}); after a fail-over it is the old primary: name both hosts and "
            "target_session_attrs=read-write in the URL"
        )
    if isinstance(error, psycopg.errors.DiskFull):
        return NotConfirmed(
            f"the disk of {told} is full; what was accepted before is kept, this was not written. Free some space and "
            "send it again"
        )
    return NotConfirmed(f"{told}: {line}; this was not confirmed, send it again")


def is_of_standby(error: psycopg.Error) -> bool:
    """Whether another host should be asked."""
    return isinstance(error, psycopg.errors.ReadOnlySqlTransaction)


def is_of_other_session(error: psycopg.Error) -> bool:
    """Whether what was prepared is not there, or was by somebody else: a proxy that does not say so pools sessions."""
    return isinstance(
        error, psycopg.errors.InvalidSqlStatementName | psycopg.errors.DuplicatePreparedStatement
    )


def line_of(error: Exception) -> str:
    """The first line of what an error says."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
