"""P9, for what is over `payload_limit`: refused, or carried in a file where `files=` was given; results too.

Broken on purpose, each of these makes a test here fail:
 - in `Freight.loaded`, never set `is_bulky`: a row takes what is over the limit;
 - in `SQLStore._keep_more`, leave out the file: a sweep deletes a result that somebody still asks for;
 - in `executor._meaning`, leave out CannotBegin: arguments that no longer fit fail their job;
 - in `handle.Job`, unpack the row's own text: a result reads as what stands for it.
"""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, UploadFile
from fastapi.testclient import TestClient

from outlast import BackgroundTasks, FileMissing, FileTooLarge, LuggageTooLarge, TaskQueue
from outlast.clock import ManualClock
from outlast.job import State
from outlast.luggage.stand_in import stood_for
from tests.places import PLACES, url_of

LIMIT = 1000
BIG = {"text": "ü" * 2 * LIMIT, "deep": [("tuple", 1)]}
seen: list[Any] = []


def plain(value: Any, times: int = 1) -> Any:
    seen.append(value)
    return [value] * times


async def awaited(value: Any) -> Any:
    seen.append(value)
    return value


def make(size: int) -> str:
    return "x" * size


async def amake(size: int) -> str:
    return "x" * size


def with_file(file: UploadFile, value: Any) -> None:
    seen.append((file.file.read(), value))


def choosy(value: list[int]) -> None: ...


@pytest.fixture(params=PLACES)
def files(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return url_of(request.param, tmp_path)


@pytest.fixture
def store(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'outlast.db'}"


@pytest.fixture
def queue(store: str, files: str) -> Iterator[TaskQueue]:
    seen.clear()
    queue = TaskQueue(store=store, worker="inline", files=files, payload_limit=LIMIT)
    yield queue
    queue.close()


@pytest.mark.parametrize("task", [plain, awaited])
def test_arguments_over_the_limit_arrive_from_a_file(queue: TaskQueue, task: Any) -> None:
    job = queue.enqueue(task, BIG)

    assert seen == [BIG]
    found = stood_for(job.record().luggage)
    assert found is not None
    assert found.size > 2 * 2 * LIMIT
    assert found.name in queue.freight.files.names()


def test_arguments_at_the_limit_stay_in_their_row(queue: TaskQueue) -> None:
    frame = len('{"value":""}')
    at, over = ("x" * (LIMIT - frame + more) for more in (0, 1))

    assert stood_for(queue.enqueue(plain, at, times=0).record().luggage) is not None  # `times` takes room too
    assert stood_for(queue.enqueue(untyped, at).record().luggage) is None
    assert stood_for(queue.enqueue(untyped, over).record().luggage) is not None


def untyped(value):  # type: ignore[no-untyped-def]
    pass


def test_without_files_they_are_refused_and_the_cure_is_named(store: str) -> None:
    queue = TaskQueue(store=store, worker="inline", payload_limit=LIMIT)
    with pytest.raises(
        LuggageTooLarge, match=r"most of it in value, and 1,000 are allowed; .* TaskQueue\(files=…\)"
    ):
        queue.enqueue(plain, BIG)
    queue.close()


def test_the_environment_has_the_last_word(
    store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OUTLAST_FILES", f"file:{tmp_path / 'told'}")
    queue = TaskQueue(store=store, worker="inline", files=f"file:{tmp_path / 'written'}", payload_limit=LIMIT)
    queue.enqueue(plain, BIG)
    queue.close()

    assert [
        path.name for path in tmp_path.iterdir() if path.is_dir() and path.name in ("told", "written")
    ] == ["told"]


def test_the_limit_for_files_holds_for_them_too(store: str, files: str) -> None:
    queue = TaskQueue(store=store, worker="inline", files=files, payload_limit=LIMIT, file_limit=2 * LIMIT)
    with pytest.raises(
        FileTooLarge, match=r"what .*:plain would have to carry has 4,\d\d\d bytes, and 2,000 are allowed"
    ):
        queue.enqueue(plain, BIG)
    queue.close()


def test_an_upload_among_arguments_over_the_limit_arrives(queue: TaskQueue) -> None:
    queue.enqueue(with_file, UploadFile(io.BytesIO(b"content")), BIG)

    assert seen == [(b"content", BIG)]


def test_a_request_may_add_them(store: str, files: str) -> None:
    seen.clear()
    app = FastAPI()
    TaskQueue(app, store=store, worker="inline", files=files, payload_limit=LIMIT)

    @app.post("/")
    async def add(tasks: BackgroundTasks) -> None:
        tasks.add_task(plain, BIG)

    with TestClient(app) as client:
        assert client.post("/").status_code == 200
    assert seen == [BIG]


def test_arguments_that_do_not_fit_wait_for_code_that_they_fit(queue: TaskQueue) -> None:
    job = queue.enqueue(choosy, [1] * LIMIT)
    assert job.state is State.SUCCEEDED

    text = queue.text(job.record().luggage, "it").replace("value", "renamed")
    name = queue.freight.files.put(Text(text), queue.clock.now())
    row = queue.prepare(choosy, ([1] * LIMIT,), {})
    luggage = json.dumps({"$": ["stored", name, len(text)]}, separators=(",", ":"))
    rows = [row._replace(luggage=luggage, files=json.dumps([name]))]
    turn = queue.turn(rows)  # type: ignore[attr-defined]
    queue.commit(rows)
    asyncio.run(turn.quietly())

    record = queue.job(row.id).record()
    assert record.state is State.QUEUED
    assert "waits for code that fits it" in (record.note or "")


class Text:
    """A text to be stored."""

    def __init__(self, text: str) -> None:
        self._content = text.encode()
        self.size = len(self._content)

    def chunks(self) -> Iterator[bytes]:
        yield self._content


def test_arguments_whose_file_is_gone_fail_with_the_cure(queue: TaskQueue) -> None:
    row = queue.prepare(queue.options(plain, max_attempts=1), (BIG,), {})
    rows = queue.freight.stow([row])
    for name in queue.freight.files.names():
        queue.freight.files.delete(name)
    turn = queue.turn(rows)  # type: ignore[attr-defined]
    queue.commit(rows)
    asyncio.run(turn.quietly())

    record = queue.job(row.id).record()
    assert record.state is State.FAILED
    assert f"FileMissing: what job {row.id} ({row.task}) carries is not there" in (record.error or "")


# ---- results


@pytest.mark.parametrize("task", [make, amake])
def test_a_result_over_the_limit_is_read_back_from_a_file(queue: TaskQueue, task: Any) -> None:
    job = queue.enqueue(task, 3 * LIMIT)

    assert job.result == "x" * 3 * LIMIT
    assert asyncio.run(job.wait(10)) == "x" * 3 * LIMIT
    assert stood_for(job.record().result or "") is not None


def test_without_files_it_is_not_kept_and_a_log_line_says_so(
    store: str, caplog: pytest.LogCaptureFixture
) -> None:
    queue = TaskQueue(store=store, worker="inline", payload_limit=LIMIT)
    with caplog.at_level(logging.WARNING):
        job = queue.enqueue(make, 3 * LIMIT)

    assert (job.state, job.result) == (State.SUCCEEDED, None)
    assert "result not kept" in caplog.text
    assert "TaskQueue(files=…)" in caplog.text
    queue.close()


def test_a_result_that_cannot_be_stored_costs_the_job_nothing(
    store: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "files").touch()
    queue = TaskQueue(store=store, worker="inline", files=f"file:{tmp_path / 'files'}", payload_limit=LIMIT)
    job = queue.enqueue(make, 3 * LIMIT)

    assert (job.state, job.result) == (State.SUCCEEDED, None)
    assert "could not be stored" in caplog.text
    queue.close()


def test_it_is_read_over_http(store: str, files: str) -> None:
    app = FastAPI()
    queue = TaskQueue(app, store=store, worker="inline", files=files, payload_limit=LIMIT)
    app.include_router(queue.router, prefix="/jobs")
    with TestClient(app) as client:
        job = queue.enqueue(make, 3 * LIMIT)
        assert client.get(f"/jobs/{job.id}").json()["result"] == "x" * 3 * LIMIT


def test_a_result_whose_file_is_gone_is_missed_by_its_job(queue: TaskQueue) -> None:
    job = queue.enqueue(make, 3 * LIMIT)
    for name in queue.freight.files.names():
        queue.freight.files.delete(name)

    with pytest.raises(FileMissing, match=rf"the result of job {job.id} \(.*:make\) is not there"):
        _ = job.result


# ---- their end


def test_files_stay_as_long_as_a_job_uses_them_and_go_with_the_last(store: str, files: str) -> None:
    clock = ManualClock()
    queue = TaskQueue(store=store, worker="inline", files=files, payload_limit=LIMIT, clock=clock)
    first = queue.enqueue(plain, BIG, times=3)  # a result over the limit, too
    clock.advance(timedelta(minutes=30))
    second = queue.enqueue(plain, BIG, times=3)
    assert len(list(queue.freight.files.names())) == 2
    clock.advance(timedelta(hours=3))

    assert queue.sweep_files() == []
    assert first.result == second.result == [BIG] * 3

    pruned = queue.tell(lambda store: store.prune(timedelta(hours=3, minutes=10)))
    assert pruned.jobs == 1
    assert queue.sweep_files(pruned.files) == []
    assert second.result == [BIG] * 3

    pruned = queue.tell(lambda store: store.prune(timedelta(0)))
    assert sorted(queue.sweep_files(pruned.files)) == sorted(pruned.files)
    assert list(queue.freight.files.names()) == []
    queue.close()
