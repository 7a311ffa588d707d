"""What a connection makes of a database that goes away, and of one whose tables are not those it wants."""

from collections.abc import Callable, Iterator

import pytest

from outlast.address import address_of
from outlast.errors import NotConfirmed, StoreUnusable
from outlast.store import Store, open_store
from outlast.store.postgres_schema import migrate, migrations, pending
from tests.contract.making import new_job, put, take, worker_record
from tests.polling import polled
from tests.postgresql import Server, connected, drop
from tests.stores import execute

Open = Callable[[str], Store]


@pytest.fixture
def opened() -> Iterator[Open]:
    """Opens stores, which are closed with the test."""
    stores: list[Store] = []

    def opened(url: str) -> Store:
        stores.append(open_store(url))
        return stores[-1]

    yield opened
    for store in stores:
        store.close()


@pytest.fixture
def store(url: str, opened: Open) -> Store:
    """Its connection can be told from those of others."""
    return opened(f"{url}&application_name={address_of(url).schema}")


def end_connections(url: str) -> None:
    """Those of this store alone, as a restart of the database does, or a person."""
    own = address_of(url).schema
    ended = execute(
        url, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '{own}'"
    )
    assert ended == [(True,)]


def test_a_connection_that_was_lost_while_nobody_used_it_is_nobodys_problem(url: str, store: Store) -> None:
    put(store)
    end_connections(url)
    assert len(store.find()) == 1

    end_connections(url)
    put(store)
    assert len(store.find()) == 2


def test_what_a_lost_connection_had_begun_is_never_confirmed(url: str, store: Store) -> None:
    """The COMMIT is not given to another connection, which would say yes to it.

    Break it: in PostgresConnection._commit, call `execute` and do not look whether the connection is lost.
    """
    put(store)
    with pytest.raises(NotConfirmed), store.transaction(flush=True):
        store.insert([new_job(store)])
        end_connections(url)

    assert len(store.find()) == 1


def test_a_transaction_goes_on_with_no_other_connection(url: str, store: Store) -> None:
    """Its first part would be missing."""
    put(store)
    with pytest.raises(NotConfirmed), store.transaction(flush=True):
        store.insert([new_job(store)])
        end_connections(url)
        store.insert([new_job(store)])

    assert len(store.find()) == 1


def test_a_database_that_is_away_is_named_with_what_to_check_and_without_the_password(opened: Open) -> None:
    store = opened("postgresql://app:s3cr%40t@127.0.0.1:1/base")

    with pytest.raises(
        NotConfirmed, match=r"postgresql://app@127.0.0.1:1/base cannot be reached: .*check that"
    ) as error:
        store.workers()
    with pytest.raises(NotConfirmed, match="a moment ago") as again:
        store.workers()

    assert "s3cr" not in str(error.value) + str(again.value) + store.url


def changed(sql: str) -> Callable[[str], None]:
    return lambda url: execute(url, sql) and None


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (drop, r"there are no tables of Outlast .* outlast migrate --store 'postgresql://.*'"),
        (changed("DELETE FROM schema_version"), "there are no tables"),
        (changed("INSERT INTO schema_version VALUES (99)"), "of a newer Outlast .* upgrade"),
    ],
    ids=["none", "none yet", "newer"],
)
def test_tables_of_another_version_are_told_with_what_to_do(
    url: str, opened: Open, change: Callable[[str], None], told: str
) -> None:
    change(url)

    with pytest.raises(StoreUnusable, match=told):
        opened(url).workers()


def test_a_migration_is_applied_once_and_what_is_pending_is_known(url: str) -> None:
    assert (pending(url), migrate(url)) == ([], [])
    drop(url)

    assert pending(url) == migrations()
    assert migrate(url) == migrations()
    assert migrate(url) == []


def test_what_a_dry_run_prints_does_what_migrate_does(url: str, store: Store) -> None:
    drop(url)
    schema = url.rpartition("=")[2]
    scripts = [f"BEGIN; {migration.script(schema)} COMMIT;" for migration in pending(url)]
    with connected(url) as connection:
        for script in scripts:
            connection.execute(script.encode())

    put(store)
    assert pending(url) == []


def test_two_queues_live_in_one_database(url: str, store: Store, opened: Open) -> None:
    other = f"{url}b"
    migrate(other)
    try:
        put(store)
        assert (len(store.find()), opened(other).find()) == (1, [])
    finally:
        drop(other)


def test_an_announcement_is_heard_in_its_own_schema_alone(url: str, store: Store, opened: Open) -> None:
    other = f"{url}b"
    migrate(other)
    try:
        near, far = store.listener(), opened(other).listener()
        assert near is not None
        assert far is not None
        store.announce()
        assert polled(near.heard, 5)
        assert (near.heard(), far.heard()) == (False, False)
        near.close()
        far.close()
    finally:
        drop(other)


def test_who_is_told_not_to_listen_does_not(url: str, opened: Open) -> None:
    assert opened(f"{url}&listen=off").listener() is None


def test_what_was_claimed_survives_a_crash_of_the_database(server: Server, opened: Open) -> None:
    """Workers outlive it: an attempt number that was forgotten would be given out twice (P4).

    Break it: in PostgresStore.claim, do not flush.
    """
    url = f"{server.url}?schema=crash"
    migrate(url)
    store = opened(url)
    store.enter(worker_record("w1", store.clock))
    put(store)
    job = take(store)

    server.stop(mode="immediate")
    server.start()

    assert opened(url).running("w1") == [(job.id, 1)]
