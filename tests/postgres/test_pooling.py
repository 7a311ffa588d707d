"""Behind a proxy that pools transactions (Debian's PgBouncer): the same store, without LISTEN."""

from __future__ import annotations

import os
import pwd
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from outlast.address import address_of
from outlast.errors import NotConfirmed
from outlast.store import Store, open_store
from tests.contract.making import end, put, worker_record
from tests.debian import program
from tests.polling import polled
from tests.postgresql import free_port, lets_us_in
from tests.worker.harness import House


@pytest.fixture
def pooled(url: str, tmp_path: Path) -> Iterator[str]:
    """The store, by way of a PgBouncer that hands out a server process for each transaction."""
    bouncer = program("pgbouncer", "pgbouncer")
    direct, port = address_of(url).parameters, free_port()
    (tmp_path / "users").write_text('"postgres" ""\n')
    (tmp_path / "pgbouncer.ini").write_text(
        f"[databases]\n{direct['dbname']} = host={direct['host']} port={direct.get('port', 5432)}\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
        f"auth_type = trust\nauth_file = {tmp_path / 'users'}\npool_mode = transaction\ndefault_pool_size = 3\n"
    )
    command = [bouncer, str(tmp_path / "pgbouncer.ini")]
    if os.getuid() == 0:  # it refuses to run as root
        for folder in (tmp_path, *tmp_path.parents[:2]):
            folder.chmod(0o755)
        command[1:1] = ["--user", pwd.getpwnam("nobody").pw_name]
    with (tmp_path / "pgbouncer.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    base = f"postgresql://postgres@127.0.0.1:{port}/{direct['dbname']}"
    try:
        assert polled(lambda: lets_us_in(base), 10), (tmp_path / "pgbouncer.log").read_text()
        yield f"{base}?{url.partition('?')[2]}"
    finally:
        process.terminate()
        process.wait(10)


def test_two_stores_take_turns_on_the_same_server_processes(pooled: str) -> None:
    """No statement leans on what an earlier one left in the session.

    Break it: in PostgresConnection._dialect, leave the tables as they are, and set the search path when connecting.
    """
    one, other = open_store(pooled), open_store(pooled)
    for store in (one, other):
        store.enter(worker_record("w1", store.clock))
    ids = [put(store) for store in (one, other) * 5]

    for job_id, store in zip(ids, (other, one) * 5, strict=True):
        with store.transaction(flush=True):
            (job,) = store.claim("w1", 1)
            assert job.id == job_id
            end(store, job)

    assert one.counts()["succeeded"] == 10
    for store in (one, other):
        store.close()


def test_it_is_found_out_and_nobody_listens(pooled: str, url: str) -> None:
    """Break it: in is_pooled, say False."""
    behind, direct = open_store(pooled), open_store(url)
    listener = direct.listener()

    assert behind.listener() is None
    assert listener is not None
    assert prepared(behind) == 0 < prepared(direct)

    behind.announce()
    assert polled(listener.heard, 5), "what is announced by way of the proxy is heard all the same"
    listener.close()
    behind.close()
    direct.close()


def prepared(store: Store) -> int:
    """Statements that the session has been told to keep, after some work."""
    store.enter(worker_record("w1", store.clock))
    for _ in range(5):
        put(store)
        end(store, *store.claim("w1", 1))
    return store._database.read("SELECT count(*) FROM pg_prepared_statements")[0][0]  # type: ignore[attr-defined]


def test_a_proxy_that_hides_itself_is_found_out_by_what_it_forgets(
    pooled: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One commit is not confirmed, and nothing is prepared any more. Break it: in is_of_other_session, say False."""
    monkeypatch.setattr("outlast.store.postgres_driver.is_pooled", lambda connection: False)
    one, other = open_store(pooled), open_store(pooled)
    refused, done = 0, 0
    with closing(one), closing(other):
        for store in (one, other):
            store.enter(worker_record("w1", store.clock))
        for number in range(40):
            store = (one, other)[number % 2]
            try:
                with store.transaction(flush=True):
                    put(store)
                    end(store, *store.claim("w1", 1))
            except NotConfirmed:
                refused += 1
            else:
                done += 1
        assert 1 <= refused <= 2
        assert one.counts()["succeeded"] == done == 40 - refused


def test_a_worker_serves_behind_it(pooled: str, tmp_path: Path) -> None:
    house = House(tmp_path, pooled)
    try:
        house.worker()
        jobs = [house.add("app:work", {"value": number}) for number in range(20)]
        assert house.results(jobs) == list(range(20))
        assert house.store.attempts(jobs[0]) == []
    finally:
        house.close()
