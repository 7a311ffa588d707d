"""Uploads on their way from a request to a task: a real server, its worker, and the files between them."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import Any

import httpx
import pytest
from fastapi import UploadFile

from outlast.clock import ManualClock, SystemClock
from outlast.files import part_name
from outlast.files.cargo import Cargo
from outlast.files.folder import Folder
from outlast.files.sources import Memory
from outlast.luggage import Signature
from outlast.queue import TaskQueue
from tests.worker.harness import PRELUDE, House
from tests.worker.uploads import APP, Server, digest_of

MIB = 1 << 20
HOURS = 3 * 3_600_000_000


@pytest.fixture
def served(house: House) -> Iterator[Server]:
    house.write("app", APP)
    server = Server(house)
    yield server
    server.close()


@pytest.mark.parametrize("size", [0, 11, 3_000_000], ids=["empty", "in memory", "on disk"])
def test_an_upload_arrives_in_the_worker_as_it_was_sent(served: Server, size: int) -> None:
    """Break it: in sources.Descriptor, keep the descriptor itself, not a second one; read from where it stands."""
    content = bytes(range(256)) * (size // 256) + b"x" * (size % 256)

    answer = served.upload(content)

    told = served.house.result(answer.json()["id"])
    assert told["pid"] != served.process.pid
    assert (told["hash"], told["size"]) == (digest_of(content), size)
    assert (told["name"], told["type"], told["mark"]) == ("photo.jpg", "image/jpeg", "ours")


def test_a_large_upload_takes_no_memory_of_its_size(served: Server) -> None:
    """tests/soak/upload.py does the same with a gibibyte. Break it: in Descriptor.chunks, read all at once."""
    served.house.result(served.upload(b"x" * 2 * MIB).json()["id"])
    before = served.most_memory()
    large = served.house.folder / "large"
    with large.open("wb") as file:
        file.truncate(128 * MIB)

    with large.open("rb") as file:
        told = served.house.result(served.upload(file).json()["id"])

    assert told["size"] == 128 * MIB
    assert served.most_memory() - before < 50 * MIB
    assert told["grew"] < 50 * MIB


def test_after_the_receipt_the_content_is_there_whatever_is_killed(served: Server) -> None:
    """Break it: in TaskQueue.acommit, hand the rows over before their files are stored."""
    content = b"kept " * 300_000
    served.house.store.pause("default")

    job = served.upload(content).json()["id"]
    for pid in served.house.everybody():
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    served.house.store.resume("default")
    served.start({})

    assert served.house.result(job)["hash"] == digest_of(content)


def test_a_server_killed_in_mid_upload_leaves_no_job_and_a_sweep_removes_the_rest(house: House) -> None:
    """Break it: in Folder.put, write under the file's own name; in files.is_name, leave out what is being written."""
    house.write("app", APP + SLOW_DISK)
    os.mkfifo(house.folder / "disk.door")
    server = Server(house)
    client = threading.Thread(target=upload_in_vain, args=(server,))
    client.start()
    house.until((house.folder / "flushing").exists, "the server to flush the upload")

    server.process.kill()
    client.join()

    (left,) = server.files.names()
    assert ".part." in left
    assert house.store.find() == []
    assert later(house).sweep_files() == [left]
    assert list(server.files.names()) == []
    server.close()


SLOW_DISK = """
import stat


def flush(descriptor):
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        (HERE / "flushing").touch()
        os.open(HERE / "disk.door", os.O_RDONLY)


os.fsync = flush
"""


def upload_in_vain(server: Server) -> None:
    with pytest.raises(httpx.TransportError):
        server.upload(b"lost " * 300_000)


def later(house: House) -> TaskQueue:
    """The queue of the house's store three hours from now."""
    return TaskQueue(store=house.url, clock=ManualClock(datetime.now(UTC) + timedelta(hours=3)))


def test_a_worker_deletes_what_no_job_uses_when_it_starts(house: House) -> None:
    """Break it: in Supervisor._do_chores, do not call _sweep."""
    files = Folder(str(house.folder / "outlast.db-files"))
    old = SystemClock().now() - HOURS
    _, used, young = (
        files.put(Memory(content), now) for content, now in ((b"a", old), (b"b", old), (b"c", old + HOURS))
    )
    broken_off = house.folder / "outlast.db-files" / part_name("0" * 32, old)
    broken_off.touch()
    foreign = house.folder / "outlast.db-files" / "README"
    foreign.touch()
    house.add("nowhere:task", files=json.dumps([used]))

    house.worker()

    house.until(lambda: not broken_off.exists(), "the sweep")
    assert sorted(files.names()) == sorted([used, young])
    assert foreign.exists()


def test_the_files_of_a_pruned_job_go_soon_after_it(house: House) -> None:
    """Break it: in Supervisor._sweep, forget the files that pruned jobs had."""
    files = Folder(str(house.folder / "outlast.db-files"))
    files.put(Memory(b"unused"), SystemClock().now() - HOURS)
    house.worker(retention=timedelta(0))
    house.until(lambda: not list(files.names()), "the look at the start, the next of which is in an hour")
    name = files.put(Memory(b"read once"), SystemClock().now() - HOURS)

    house.add("app:whoami", files=json.dumps([name]))

    house.until(lambda: not list(files.names()), "the file to go")


@pytest.mark.parametrize("task", ["read", "aread"])
def test_a_file_that_is_gone_fails_the_attempt_and_says_which_and_what_to_do(house: House, task: str) -> None:
    """Break it: in freight._opened, let the FileNotFoundError through."""
    house.write("app", PRELUDE + READERS)
    job = sent(house, f"app:{task}", UploadFile(BytesIO(b"x"), filename="a.csv"))
    folder = Folder(str(house.folder / "outlast.db-files"))
    for name in folder.names():
        folder.delete(name)
    house.worker()

    record = house.ended(job)

    assert record.error is not None
    assert f"FileMissing: the file 'a.csv' of job {job} is not there: {folder.url} has no " in record.error
    assert record.error.endswith("then retry the job")
    (attempt,) = house.store.attempts(job)
    assert attempt.traceback.splitlines()[1].strip().startswith(f'File "{house.folder}')


BULK = """
queue = TaskQueue(store=f"sqlite:///{HERE / 'outlast.db'}", files=f"file:{HERE / 'bulk'}", payload_limit=1000)


def double(value):
    return value * 2


async def adouble(value):
    return value * 2
"""


@pytest.mark.parametrize("task", ["double", "adouble"])
def test_what_is_over_the_payload_limit_goes_to_a_child_and_back_in_files(house: House, task: str) -> None:
    """Break it: in SQLStore._keep_more, leave out the file; in executor.begin, unpack the row's own text."""
    house.write("app", PRELUDE + BULK)
    queue = TaskQueue(store=house.url, files=f"file:{house.folder / 'bulk'}", payload_limit=1000)
    text = json.dumps({"value": "x" * 2000})
    (row,) = queue.freight.stow([queue.freight.loaded(house.row(f"app:{task}")._replace(luggage=text))])
    house.add_all([row])
    house.worker()

    house.ended(row.id)

    assert queue.job(row.id).result == "x" * 4000
    names = set(queue.freight.files.names())
    assert len(names) == 2
    assert house.store.files_in_use(names) == names
    queue.close()


READERS = """

async def aread(file):
    return (await file.read()).decode()


def read(file):
    return file.file.read().decode()


def open_files():
    return sorted(os.readlink(f"/proc/self/fd/{number}") for number in os.listdir("/proc/self/fd"))
"""


def sent(house: House, task: str, value: Any) -> str:
    """Commit a job whose argument is or has a file; returns its id."""

    def any_task(value: Any) -> None: ...

    cargo = Cargo()
    text = Signature.of(any_task).pack((), {"value": value}, cargo=cargo).replace('"value":', '"file":', 1)
    row = house.row(task, max_attempts=1)._replace(luggage=text, files=cargo)
    return house.add_all(TaskQueue(store=house.url).freight.stow([row]))[0]
