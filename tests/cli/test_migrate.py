"""`outlast migrate`: makes the tables in PostgreSQL and brings them up to date, or says why it cannot."""

from __future__ import annotations

from collections.abc import Iterator
from shlex import quote

import pytest

from outlast.address import address_of
from outlast.store.postgres_schema import migrations
from tests.cli.stored import new_job
from tests.postgresql import connected, drop, new_store
from tests.stores import execute

NAMES = [migration.name for migration in migrations()]
WITHOUT_RIGHTS = "options=-c%20role%3Dpg_monitor"


@pytest.fixture
def url() -> Iterator[str]:
    """Of a store that has no tables yet, nor a schema."""
    with new_store() as url:
        drop(url)
        yield url


def has_schema(url: str) -> bool:
    name = address_of(url).schema
    return execute(url, f"SELECT 1 FROM pg_namespace WHERE nspname = '{name}'") == [(1,)]


def test_in_a_fresh_database_it_makes_the_tables_and_then_has_nothing_to_do(url, outlast):
    first, second = outlast("migrate", "--store", url), outlast("migrate", "--store", url)

    assert first.out.splitlines() == [f"Applied {name}." for name in NAMES]
    assert (first.code, second.code, second.out) == (0, 0, "")
    assert f"{address_of(url).told} is up to date" in second.err
    assert "nothing to apply" in second.err
    assert outlast("queues", "pause", "mail", "--store", url).code == 0


def test_in_json(url, outlast):
    told = [outlast("migrate", *words, "--json", "--store", url).json for words in (["--dry-run"], [], [])]

    assert told == [{"pending": NAMES}, {"applied": NAMES}, {"applied": []}]


def test_the_store_may_be_named_by_the_environment(url, outlast, monkeypatch):
    monkeypatch.setenv("OUTLAST_STORE", url)

    assert outlast("migrate").code == 0
    assert outlast("stats").code == 0


def test_a_dry_run_prints_what_would_do_it_and_changes_nothing(url, outlast):
    """To see it fail: apply it all the same."""
    ran = outlast("migrate", "--dry-run", "--store", url)

    assert not has_schema(url)
    assert ran.out.splitlines().count("BEGIN;") == ran.out.splitlines().count("COMMIT;") == len(NAMES)
    assert [line for line in ran.out.splitlines() if line.startswith("-- postgres_")] == [
        f"-- {name}" for name in NAMES
    ]
    with connected(url) as connection:
        connection.execute(ran.out.encode())
    assert "nothing to apply" in outlast("migrate", "--dry-run", "--store", url).err
    assert "nothing to apply" in outlast("migrate", "--store", url).err


def test_older_tables_are_told_with_the_cure_and_brought_up_to_date_with_their_jobs(url, outlast):
    older = migrations()[:-1]
    with connected(url) as connection:
        for migration in older:
            connection.execute(f"BEGIN; {migration.script(address_of(url).schema)}; COMMIT".encode())
        job = new_job()._asdict() | {"ready": 1}
        del job["owner"]  # the latest migration brings it
        connection.execute(
            f"INSERT INTO jobs ({', '.join(job)}) VALUES ({', '.join(f'%({name})s' for name in job)})".encode(),
            job,
        )

    used = outlast("stats", "--store", url)
    migrated = outlast("migrate", "--store", url)

    assert used.code == 2
    assert f"are of version {len(older)}, and this Outlast wants {len(NAMES)}" in used.err
    assert f"outlast migrate --store {quote(address_of(url).told)}" in used.err
    assert migrated.out == f"Applied {NAMES[-1]}.\n"
    assert outlast("stats", "--json", "--store", url).json["jobs"]["ready"] == 1


@pytest.mark.parametrize("words", [["migrate"], ["migrate", "--dry-run"], ["stats"]], ids=" ".join)
def test_newer_tables_are_left_alone(words, url, outlast):
    outlast("migrate", "--store", url)
    execute(url, "INSERT INTO schema_version (version) VALUES (99)")

    ran = outlast(*words, "--store", url)

    assert (ran.code, ran.out) == (2, "")
    assert "of version 99, of a newer Outlast" in ran.err
    assert "upgrade outlast here. Nothing in them was changed" in ran.err


def test_two_schemas_of_one_database_are_migrated_apart(url, outlast):
    other = f"{url}_other"
    try:
        outlast("migrate", "--store", url)

        used, migrated = outlast("stats", "--store", other), outlast("migrate", "--store", other)

        assert f"there are no tables of Outlast in {address_of(other).told}" in used.err
        assert len(migrated.out.splitlines()) == len(NAMES)
        outlast("queues", "pause", "mail", "--store", other)
        assert execute(url, "SELECT name FROM queues") == []
    finally:
        drop(other)


def test_who_may_not_make_a_schema_is_told_what_to_grant(url, outlast):
    ran = outlast("migrate", "--store", f"{url}&{WITHOUT_RIGHTS}")

    assert ran.code == 2
    assert "permission denied" in ran.err
    assert "GRANT CREATE ON DATABASE" in ran.err
    assert not has_schema(url)


def test_who_may_not_use_the_tables_is_told_so(url, outlast):
    outlast("migrate", "--store", url)

    for command in ("stats", "migrate"):
        ran = outlast(command, "--store", f"{url}&{WITHOUT_RIGHTS}")

        assert ran.code == 2
        assert "permission denied" in ran.err
        assert "grant" in ran.err.lower()


@pytest.mark.parametrize("words", [[], ["--dry-run"]], ids=["migrate", "dry run"])
@pytest.mark.parametrize(
    ("store", "told"),
    [
        ("postgresql://app:s3cret@127.0.0.1:1/shop", "//app@127.0.0.1:1/shop cannot be reached"),
        ("postgresql://app:s3cret@127.0.0.1/shop?schema=A-B", "lower-case letters"),
        ("postgresql://app:s3cret@127.0.0.1/shop?nonsense=1", "is no address of a PostgreSQL database"),
        (
            "sqlite:///outlast.db",
            "needs no migration: an SQLite store is brought up to date when it is opened",
        ),
        ("redis://127.0.0.1", "no store understands"),
    ],
)
def test_what_cannot_be_migrated_is_told_with_the_cure_and_without_the_password(
    words, store, told, outlast, tmp_path
):
    ran = outlast("migrate", *words, "--store", store)

    assert ran.code == 2
    assert told in ran.err
    assert "s3cret" not in ran.err
    assert len(ran.err.splitlines()) == 1
    assert [*tmp_path.iterdir()] == []
