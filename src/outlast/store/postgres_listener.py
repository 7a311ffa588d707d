"""Hears what others announce in a PostgreSQL database: LISTEN on a connection of its own, so that a worker is woken.

It may be lost, or impossible (behind a proxy that pools transactions): whoever uses it also asks now and then.
"""

from __future__ import annotations

from outlast.address import Address
from outlast.store import postgres_driver as driver


def channel_of(address: Address) -> str:
    """The channel of one store: those of other schemas hear nothing of it."""
    return f"outlast.{address.schema}"


class PostgresListener:
    """A connection that waits for notifications."""

    def __init__(self, connection: driver.Connection, address: Address) -> None:
        self._connection = connection
        self._address = address
        self._descriptor = connection.fileno()  # one that is lost does not tell it any more

    @classmethod
    def of(cls, address: Address) -> PostgresListener | None:
        """One that listens; None where it would listen in vain. Raises NotConfirmed."""
        if not address.listens:
            return None
        connection = driver.connect(address)
        try:
            if driver.is_pooled(connection):
                connection.close()
                return None
            connection.execute(f'LISTEN "{channel_of(address)}"')
        except driver.DriverError as error:
            connection.close()
            raise driver.explained(error, address.told) from error
        return cls(connection, address)

    def fileno(self) -> int:
        return self._descriptor

    def heard(self) -> bool:
        try:
            return any([*self._connection.notifies(timeout=0)])
        except driver.DriverError as error:
            raise driver.explained(error, self._address.told) from error

    def close(self) -> None:
        self._connection.close()
