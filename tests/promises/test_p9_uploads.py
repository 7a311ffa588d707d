"""P9, for files: an uploaded or open file arrives as an UploadFile with its content, name, headers and size.

Whatever was read of it before, and whoever closes it after. That it does so in another process too, and through kills,
is in tests/worker/test_uploads.py. Broken on purpose, each of these makes a test here fail:
 - in `sources.Descriptor`, read with `os.read` instead of `os.pread`: half of a file arrives;
 - in `sources._of_descriptor`, leave out the flush: what was written last is missing;
 - in `sources.Descriptor.chunks`, leave out the look at the end: what was written after is carried;
 - in `Cargo.stow`, always make a new Source, or in `cargo._stowed`, forget what is known: it is stored twice;
 - in `Parameter.takes_uploads`, return False: bytes arrive as bytes;
 - in `arrivals`, leave out either `closing`: files stay open.
"""

from __future__ import annotations

import asyncio
import io
import json
import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import pytest
from fastapi import FastAPI, File, Form, UploadFile
from fastapi.testclient import TestClient
from pydantic import BaseModel, ConfigDict
from starlette.datastructures import Headers
from starlette.datastructures import UploadFile as StarletteUpload

from outlast import BackgroundTasks, TaskQueue
from outlast.clock import ManualClock
from outlast.errors import LuggageRefused, NotConfirmed
from outlast.files.folder import Folder
from outlast.job import State
from outlast.store import JobFilter
from tests.places import PLACES, url_of

SMALL = b"a few bytes"
LARGE = bytes(range(256)) * 8192  # 2 MiB: on disk
arrived: list[Any] = []


@dataclass
class Told:
    """What a task saw of a file."""

    content: bytes
    filename: str | None
    size: int | None
    headers: dict[str, str]


async def told(file: UploadFile) -> Told:
    assert type(file) is UploadFile
    return Told(await file.read(), file.filename, file.size, dict(file.headers))


async def take(file: UploadFile) -> None:
    arrived.append(await told(file))


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[TaskQueue]:
    arrived.clear()
    queue = TaskQueue(store=f"sqlite:///{tmp_path / 'outlast.db'}", worker="inline")
    yield queue
    queue.close()


@pytest.fixture
def app(tmp_path: Path) -> FastAPI:
    arrived.clear()
    app = FastAPI()
    TaskQueue(app, store=f"sqlite:///{tmp_path / 'outlast.db'}", worker="inline")
    return app


def post(app: FastAPI, **files: Any) -> int:
    with TestClient(app) as client:
        return client.post("/", files=files).status_code


READ: dict[str, Callable[[UploadFile], Any]] = {
    "not at all": lambda file: asyncio.sleep(0),
    "in part": lambda file: file.read(5),
    "whole": lambda file: file.read(),
    "and closed": lambda file: file.close(),
}


@pytest.mark.parametrize("read", READ)
@pytest.mark.parametrize("content", [b"", SMALL, LARGE], ids=["empty", "small", "large"])
def test_an_upload_arrives_whatever_was_read_of_it(app: FastAPI, content: bytes, read: str) -> None:
    @app.post("/")
    async def add(file: UploadFile, tasks: BackgroundTasks) -> None:
        if read != "and closed":
            await READ[read](file)
        tasks.add_task(take, file)
        await READ[read](file)

    assert post(app, file=("ünïcode.txt", content, "text/x-thing", {"x-mark": "ours"})) == 200

    (one,) = arrived
    assert (one.content, one.filename, one.size) == (content, "ünïcode.txt", len(content))
    assert one.headers["content-type"] == "text/x-thing"
    assert one.headers["x-mark"] == "ours"


def test_an_upload_without_a_task_s_annotation_arrives_too(app: FastAPI) -> None:
    @app.post("/")
    async def add(file: Annotated[UploadFile, File()], tasks: BackgroundTasks) -> None:
        tasks.add_task(take_anything, file)

    post(app, file=("a.txt", SMALL))

    assert arrived == [SMALL]


def take_anything(value):  # type: ignore[no-untyped-def]
    arrived.append(value.file.read())


def test_several_uploads_and_form_fields_arrive_together(app: FastAPI) -> None:
    @app.post("/")
    async def add(files: list[UploadFile], note: Annotated[str, Form()], tasks: BackgroundTasks) -> None:
        tasks.add_task(take_all, {"files": files, "pair": (files[0], note)})

    with TestClient(app) as client:
        parts = [("files", (name, content)) for name, content in (("a", SMALL), ("b", LARGE))]
        assert client.post("/", files=parts, data={"note": "x"}).status_code == 200

    assert arrived == [SMALL, LARGE, SMALL, "x"]


async def take_all(form: dict[str, Any]) -> None:
    first, note = form["pair"]
    arrived.extend([await file.read() for file in form["files"]])
    await first.seek(0)
    arrived.extend([await first.read(), note])


# ---- other files


def written(make: Callable[..., Any], content: bytes, *how: Any, **more: Any) -> Any:
    file = make(*how, **more)
    file.write(content)
    return file


def opened(content: bytes, mode: str = "rb", **how: Any) -> Any:
    handle, path = tempfile.mkstemp(suffix=".bin")
    os.write(handle, content)
    os.close(handle)
    file = open(path, mode, **how)  # noqa: SIM115 (the caller closes it)
    os.unlink(path)
    return file


def by_hand(content: bytes) -> UploadFile:
    return UploadFile(io.BytesIO(content), filename="hand.bin", headers=Headers({"x-mark": "hand"}))


FILES: dict[str, Callable[[bytes], Any]] = {
    "SpooledTemporaryFile": lambda content: written(tempfile.SpooledTemporaryFile, content, 1000),
    "TemporaryFile": lambda content: written(tempfile.TemporaryFile, content),
    "NamedTemporaryFile": lambda content: written(tempfile.NamedTemporaryFile, content, suffix=".bin"),
    "open for reading": opened,
    "open without a buffer": lambda content: opened(content, buffering=0),
    "open for both": lambda content: opened(content, "r+b"),
    "UploadFile made by hand": by_hand,
    "UploadFile of Starlette": lambda content: StarletteUpload(io.BytesIO(content)),
    "UploadFile of an open file": lambda content: UploadFile(opened(content)),
}


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("content", [b"", SMALL, LARGE], ids=["empty", "small", "large"])
def test_a_binary_file_of_any_kind_arrives_as_an_upload(queue: TaskQueue, content: bytes, kind: str) -> None:
    file = FILES[kind](content)

    queue.enqueue(take, file)

    (file.file if isinstance(file, StarletteUpload) else file).close()
    (one,) = arrived
    assert (one.content, one.size) == (content, len(content))
    assert str(one.filename).endswith(".bin") == (kind in HAVE_NAMES)


HAVE_NAMES = [
    "NamedTemporaryFile",
    "open for reading",
    "open without a buffer",
    "open for both",
    "UploadFile made by hand",
]


def test_its_position_is_where_it_was(queue: TaskQueue) -> None:
    with opened(LARGE) as file:
        file.seek(7)
        queue.enqueue(take, file)
        assert file.tell() == 7


def test_a_file_that_is_written_to_after_it_was_added_is_not_carried_changed(queue: TaskQueue) -> None:
    with tempfile.TemporaryFile() as file:
        file.write(LARGE)
        row = queue.prepare(take, (file,), {})
        file.write(b"later")
        file.flush()
        with pytest.raises(LuggageRefused, match="was written to after the job that carries it was added"):
            queue.commit([row])
    assert queue.ask(lambda store: store.find()) == []


# ---- bytes


def take_upload(file: UploadFile | None) -> None:
    assert file is not None
    arrived.append(file.file.read())


def take_uploads(*files: UploadFile, more: Annotated[list[UploadFile], "any"]) -> None:
    arrived.extend(file.file.read() for file in (*files, *more))


def take_bytes(content: bytes) -> None:
    arrived.append(content)


def take_either(file: UploadFile | bytes) -> None:
    arrived.append(file)


def test_bytes_arrive_as_an_upload_where_the_task_takes_one(queue: TaskQueue) -> None:
    queue.enqueue(take_upload, SMALL)
    queue.enqueue(take_uploads, SMALL, LARGE, more=[b"more"])

    assert arrived == [SMALL, SMALL, LARGE, b"more"]


def test_elsewhere_bytes_stay_bytes(queue: TaskQueue) -> None:
    queue.enqueue(take_bytes, SMALL)
    queue.enqueue(take_either, SMALL)

    assert arrived == [SMALL, SMALL]


# ---- inside the user's own classes


@dataclass
class Parcel:
    file: UploadFile
    note: str


class Model(BaseModel):
    model_config = ConfigDict(arbitrary_types_allowed=True)

    file: UploadFile
    note: str


def take_parcel(parcel: Parcel | Model) -> None:
    arrived.append((type(parcel), parcel.file.file.read(), parcel.note))


@pytest.mark.parametrize("kind", [Parcel, Model])
def test_a_file_in_a_dataclass_or_model_arrives_in_it(queue: TaskQueue, kind: type[Any]) -> None:
    queue.enqueue(take_parcel, kind(file=by_hand(SMALL), note="x\0"))

    assert arrived == [(kind, SMALL, "x\0")]


def test_a_name_that_is_no_text_of_json_arrives(queue: TaskQueue) -> None:
    queue.enqueue(take, UploadFile(io.BytesIO(SMALL), filename="\udcff\0"))

    assert arrived[0].filename == "\udcff\0"


# ---- what is stored


def test_what_is_passed_twice_is_stored_once(queue: TaskQueue, tmp_path: Path) -> None:
    puts = []

    class Counting(Folder):
        def put(self, content: Any, now: int) -> str:
            puts.append(content.size)
            return super().put(content, now)

    queue.freight.files = Counting(str(tmp_path / "files"))
    with opened(LARGE) as file:
        rows = [queue.prepare(take_uploads, (file, file), {"more": [file]}) for _ in range(2)]
        assert len(rows[0].files or ()) == 1
        queue.commit(rows)

    assert puts == [len(LARGE)]


def test_what_is_never_committed_keeps_no_descriptor(queue: TaskQueue) -> None:
    before = set(os.listdir("/proc/self/fd"))
    with opened(LARGE) as file:
        row = queue.prepare(take, (file,), {})
    assert set(os.listdir("/proc/self/fd")) != before

    del row

    assert set(os.listdir("/proc/self/fd")) == before


def hold(file: UploadFile) -> None:
    arrived.append((file, file.file.read()))


async def ahold(file: UploadFile) -> None:
    arrived.append((file, await file.read()))


@pytest.mark.parametrize("task", [hold, ahold])
def test_files_are_closed_when_the_attempt_is_over(queue: TaskQueue, task: Callable[..., Any]) -> None:
    queue.enqueue(task, by_hand(LARGE))

    ((file, content),) = arrived
    assert content == LARGE
    assert file.file.closed
    assert file.file.raw.closed


def test_a_failed_job_that_is_retried_by_hand_still_has_its_files(queue: TaskQueue) -> None:
    with pytest.raises(ValueError, match="the first time"):
        asyncio.run(failing(queue))
    (record,) = queue.ask(lambda store: store.find())
    assert record.state is State.FAILED

    assert queue.retry(record.id)
    asyncio.run(queue.inline.run(record.id))  # type: ignore[union-attr]

    assert arrived == [SMALL, SMALL]


async def failing(queue: TaskQueue) -> None:
    rows = queue.bind([queue.prepare(queue.options(take_and_fail, max_attempts=1), (by_hand(SMALL),), {})])
    turn = queue.turn(rows)
    await queue.acommit(rows)
    assert turn is not None
    await turn()


def take_and_fail(file: UploadFile) -> None:
    arrived.append(file.file.read())
    if len(arrived) == 1:
        raise ValueError("the first time")


@pytest.mark.parametrize("place", PLACES)
def test_what_many_upload_again_is_not_swept_away_with_what_is_pruned(tmp_path: Path, place: str) -> None:
    """Break it: in files.name_of, leave out the hour."""
    clock = ManualClock()
    store, files = f"sqlite:///{tmp_path / 'outlast.db'}", url_of(place, tmp_path)
    queue = TaskQueue(store=store, worker="external", files=files, clock=clock)
    stop = threading.Event()

    def prune() -> None:
        while not stop.is_set():
            pruned = queue.tell(lambda store: store.prune(timedelta(hours=2)))
            queue.sweep_files(pruned.files)
            queue.sweep_files()

    with ThreadPoolExecutor() as threads:
        pruning = threads.submit(prune)
        for _ in range(12):
            uploads = [threads.submit(queue.enqueue, take, by_hand(SMALL)) for _ in range(8)]
            for upload in uploads:
                name = json.loads(upload.result().record().luggage)["file"]["$"][1]
                with queue.freight.files.open(name) as file:
                    assert file.readall() == SMALL
            queue.tell(lambda store: store.cancel(JobFilter()))
            clock.advance(timedelta(hours=1))
        stop.set()
        pruning.result()
    assert len(list(queue.freight.files.names())) <= 3
    queue.close()


# ---- in memory


def test_a_store_in_memory_keeps_files_in_a_folder_that_goes_with_it() -> None:
    arrived.clear()
    queue = TaskQueue(store="sqlite://", worker="inline")
    queue.enqueue(take, by_hand(LARGE))
    (name,) = queue.freight.files.names()
    with queue.freight.files.open(name) as file:
        path = Path(os.readlink(f"/proc/self/fd/{file.fileno()}"))

    queue.close()

    assert arrived[0].content == LARGE
    assert not path.parent.exists()


def test_nothing_is_committed_of_a_job_whose_file_cannot_be_stored(tmp_path: Path) -> None:
    arrived.clear()
    (tmp_path / "outlast.db-files").touch()
    queue = TaskQueue(store=f"sqlite:///{tmp_path / 'outlast.db'}", worker="inline")
    with pytest.raises(NotConfirmed, match="could not be stored"):
        queue.enqueue(take, by_hand(SMALL))
    assert queue.ask(lambda store: store.find()) == []
    queue.close()
