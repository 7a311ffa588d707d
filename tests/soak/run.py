"""The soak: thousands of requests while server, supervisor and children are killed at random. Nothing may be lost.

    make soak                    10,000 requests on SQLite, and as many on PostgreSQL
    python tests/soak/run.py --store sqlite --requests 50000 --seed 7
    python tests/soak/run.py --store postgresql://user@host/base

It believes nothing that Outlast says of itself: what was accepted is what got a 2xx, what was done is what a task wrote
to a file, and each ending is counted by a trigger that the soak puts into the database.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

sys.path[:0] = [str(Path(__file__).parents[2])]

from outlast.address import address_of, is_postgres  # noqa: E402
from tests.postgresql import drop, shared, store_in  # noqa: E402
from tests.stores import execute  # noqa: E402

HERE = Path(__file__).parent
CLIENTS = 12
_PATIENCE = 120.0
"""Seconds that accepted jobs may take to end after the last kill."""
_AUDIT = {
    "sqlite": [
        "CREATE TABLE IF NOT EXISTS soak_endings (id TEXT, attempt INTEGER, state TEXT)",
        """
        CREATE TRIGGER IF NOT EXISTS soak_audit AFTER UPDATE OF state ON jobs
        WHEN OLD.state <> NEW.state AND NEW.state IN ('succeeded', 'failed', 'cancelled')
        BEGIN INSERT INTO soak_endings VALUES (NEW.id, NEW.attempt, NEW.state); END
        """,
    ],
    "postgres": [
        "CREATE TABLE soak_endings (id text, attempt integer, state text)",
        """
        CREATE FUNCTION soak_audit() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            EXECUTE format('INSERT INTO %I.soak_endings VALUES ($1, $2, $3)', TG_TABLE_SCHEMA)
            USING NEW.id, NEW.attempt, NEW.state;
            RETURN NULL;
        END $$
        """,
        """
        CREATE TRIGGER soak_audit AFTER UPDATE OF state ON jobs FOR EACH ROW
        WHEN (OLD.state <> NEW.state AND NEW.state IN ('succeeded', 'failed', 'cancelled'))
        EXECUTE FUNCTION soak_audit()
        """,
    ],
}
console = Console()


@dataclass
class Tally:
    """What the clients saw."""

    wanted: int
    asked: int = 0
    accepted: set[str] = field(default_factory=set)
    refused: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def next_number(self) -> int | None:
        with self.lock:
            if self.asked >= self.wanted:
                return None
            self.asked += 1
            return self.asked


class Server:
    """The uvicorn process, started again whenever it has been killed."""

    def __init__(self, folder: Path, url: str) -> None:
        self.url = url
        self.port = _free_port()
        self._log = (folder / "server.log").open("ab")
        self._env = {
            **os.environ,
            "SOAK_STORE": url,
            "SOAK_LEDGER": str(folder / "ledger.txt"),
        }
        self.process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "uvicorn", "app:app", "--port", str(self.port), "--no-access-log"]
        return subprocess.Popen(
            command, cwd=HERE, env=self._env, stdout=self._log, stderr=self._log, start_new_session=True
        )

    def keep_up(self) -> None:
        if self.process.poll() is not None:
            self.process = self._start()

    def wait_until_up(self) -> None:
        until = time.monotonic() + 30
        while time.monotonic() < until:
            with suppress(OSError):
                socket.create_connection(("127.0.0.1", self.port), 0.2).close()
                return
            time.sleep(0.05)
        raise SystemExit("the server did not come up; see server.log")

    def end(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()


class Killer(threading.Thread):
    """Kills a random process of the soak's own tree, or its connections to the database, again and again."""

    def __init__(self, server: Server, dice: random.Random) -> None:
        super().__init__(daemon=True)
        self.kills: Counter[str] = Counter()
        self._server = server
        self._dice = dice
        self._kinds = ["server", "supervisor", "child", "child", "everything"]
        if is_postgres(server.url):
            self._kinds.append("connections")
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.wait(self._dice.uniform(0.2, 1.2)):
            kind = self._dice.choice(self._kinds)
            if kind == "connections":
                self.kills[kind] += _end_connections(self._server.url)
            for pid in self._victims(kind):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    self.kills[kind] += 1
            self._server.keep_up()

    def stop(self) -> None:
        self._over.set()
        self.join()
        self._server.keep_up()

    def _victims(self, kind: str) -> list[int]:
        server = self._server.process.pid
        supervisors = _children_of(server, "supervise")
        children = [child for supervisor in supervisors for child in _children_of(supervisor, "child")]
        match kind:
            case "server":
                return [server]
            case "supervisor":
                return supervisors[:1]
            case "child":
                return [self._dice.choice(children)] if children else []
            case "connections":
                return []
        return [server, *supervisors, *children]


def _children_of(parent: int, role: str) -> list[int]:
    """The worker's processes of one kind below a process (Linux: /proc)."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError, IndexError):
                words = (entry / "cmdline").read_bytes().split(b"\0")
                above = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                if above == parent and b"outlast.worker" in words and role.encode() in words:
                    found.append(int(entry.name))
    return found


def _end_connections(url: str) -> int:
    """Those of this store alone, as a database does that is restarted."""
    name = address_of(url).parameters["application_name"]
    others = f"application_name = '{name}' AND pid <> pg_backend_pid()"
    return len(execute(url, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}"))


def _client(port: int, tally: Tally, dice: random.Random) -> None:
    """Send requests one after another. What gets no 2xx was not accepted, and is not sent again."""
    connection: http.client.HTTPConnection | None = None
    while (number := tally.next_number()) is not None:
        path = f"/{dice.choice(['await', 'call', 'chain'])}/{number}"
        try:
            connection = connection or http.client.HTTPConnection("127.0.0.1", port, timeout=20)
            connection.request("POST", path)
            response = connection.getresponse()
            body = response.read()
        except (OSError, http.client.HTTPException) as error:
            connection = None
            with tally.lock:
                tally.refused[type(error).__name__] += 1
                tally.asked -= 1  # the soak counts requests that were answered
            time.sleep(0.05)
            continue
        with tally.lock:
            if response.status == 200:
                tally.accepted.update(json.loads(body).values())
            else:
                tally.refused[str(response.status)] += 1


def soak(folder: Path, url: str, requests: int, seed: int) -> bool:
    """Run it; True when nothing was lost and nothing ended twice."""
    dice = random.Random(seed)
    tally = Tally(requests)
    server = Server(folder, url)
    server.wait_until_up()
    _audit(folder, url)
    killer = Killer(server, dice)
    began = time.monotonic()
    clients = [
        threading.Thread(target=_client, args=(server.port, tally, random.Random(seed + n)))
        for n in range(CLIENTS)
    ]
    killer.start()
    for client in clients:
        client.start()
    _show("requests answered", requests, lambda: requests if not _alive(clients) else tally.asked)
    killer.stop()
    try:
        _show("accepted jobs ended", len(tally.accepted), lambda: len(_ended(url, tally.accepted)), _PATIENCE)
    finally:
        server.end()
    return _report(folder, url, tally, killer.kills, time.monotonic() - began)


def _alive(threads: list[threading.Thread]) -> bool:
    return any(thread.is_alive() for thread in threads)


def _show(what: str, total: int, done: object, patience: float = float("inf")) -> None:
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    until = time.monotonic() + patience
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task(what, total=total)
        while (count := done()) < total and time.monotonic() < until:  # type: ignore[operator]
            progress.update(bar, completed=count)
            time.sleep(0.25)
        progress.update(bar, completed=min(count, total))


def _audit(folder: Path, url: str) -> None:
    """The worker makes an SQLite file when it starts; the tables of PostgreSQL are there."""
    until = time.monotonic() + 20
    while not (is_postgres(url) or (folder / "soak.db").exists()) and time.monotonic() < until:
        time.sleep(0.05)
    for statement in _AUDIT["postgres" if is_postgres(url) else "sqlite"]:
        execute(url, statement)


def _ended(url: str, ids: set[str]) -> set[str]:
    rows = execute(url, "SELECT id FROM jobs WHERE state IN ('succeeded', 'failed', 'cancelled')")
    return {str(row[0]) for row in rows} & ids


def _report(folder: Path, url: str, tally: Tally, kills: Counter[str], seconds: float) -> bool:
    states = {str(job): state for job, state in execute(url, "SELECT id, state FROM jobs")}
    endings = Counter(str(row[0]) for row in execute(url, "SELECT id FROM soak_endings"))
    reasons = Counter(row[0] for row in execute(url, "SELECT reason FROM jobs WHERE reason IS NOT NULL"))
    lines = [line.split() for line in (folder / "ledger.txt").read_text().splitlines()]
    done = Counter(line[0] for line in lines if len(line) == 3)
    lost = {job for job in tally.accepted if job not in states}
    unfinished = {job for job in tally.accepted - lost if states[job] not in ("succeeded", "failed")}
    undone = {job for job in tally.accepted if states.get(job) == "succeeded" and not done[job]}
    uncounted = {job for job in tally.accepted - lost - unfinished if not endings[job]}
    twice = {job for job, count in endings.items() if count > 1}
    console.print(f"seconds                      {seconds:.1f}")
    console.print(f"requests answered            {tally.wanted:,}")
    console.print(f"requests without an answer   {dict(tally.refused)}")
    console.print(f"killed                       {dict(kills)}")
    console.print(f"jobs accepted                {len(tally.accepted):,}")
    console.print(f"jobs failed for good         {dict(reasons)}")
    console.print(
        f"jobs whose code ran twice    {sum(count > 1 for count in done.values()):,} (at least once: allowed)"
    )
    console.print(f"accepted and not in store    {len(lost):,}")
    console.print(f"accepted and not ended       {len(unfinished):,}")
    console.print(f"succeeded without effect     {len(undone):,}")
    console.print(f"ended and not counted        {len(uncounted):,}")
    console.print(f"ended twice                  {len(twice):,}")
    return not (lost or unfinished or undone or uncounted or twice)


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def _new_store(named: str, folder: Path) -> str:
    """The URL of a new store of this kind, or in this database."""
    if named == "sqlite":
        return f"sqlite:///{folder / 'soak.db'}"
    url = store_in(shared() if named == "postgres" else named)
    return f"{url}&application_name={address_of(url).schema}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--requests", type=int, default=10_000, help="requests to have answered (default 10,000)"
    )
    parser.add_argument(
        "--seed", type=int, default=int(time.time()), help="of the dice that choose what is killed"
    )
    parser.add_argument(
        "--store",
        default="both",
        metavar="STORE",
        help="sqlite, postgres (that of the tests), the URL of a PostgreSQL database, or both (default)",
    )
    parser.add_argument(
        "--keep", action="store_true", help="keep the store, and the folder with ledger and log"
    )
    words = parser.parse_args()
    stores = ["sqlite", "postgres"] if words.store == "both" else [words.store]
    are_well = [_soaked(store, words) for store in stores]
    return 0 if all(are_well) else 1


def _soaked(store: str, words: argparse.Namespace) -> bool:
    folder = Path(tempfile.mkdtemp(prefix="outlast-soak-"))
    url = _new_store(store, folder)
    console.print(f"soak on {url} in {folder}, seed {words.seed}")
    is_well = soak(folder, url, words.requests, words.seed)
    console.print("nothing lost, nothing ended twice" if is_well else f"[red]broken; see {folder} and {url}")
    if is_well and not words.keep:
        shutil.rmtree(folder)
        if is_postgres(url):
            drop(url)
    return is_well


if __name__ == "__main__":
    sys.exit(main())
