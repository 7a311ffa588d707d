"""A house for tests of the worker: a folder with an app and a store, and the real processes that live in it.

    house.write("app", SOURCE)          # an app module; SOURCE may use what PRELUDE defines
    worker = house.worker()             # a supervisor with its children
    job = house.add("app:hold", {"door": "front"}, max_attempts=3)  # a row, as a server would have written it
    house.noted("started", job)         # wait until the task has written that into the diary
    house.open("front")                 # let it go on
    house.ended(job)                    # wait until the job has ended; its record

Waiting is asking again until a deadline, which fails with what the processes have logged. `house.close()` ends whatever
was started in the house and whatever that started in turn, and nothing else: they all have the house's mark in their
environment.
"""

from __future__ import annotations

import json
import os
import signal
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

from outlast import locks
from outlast.clock import SystemClock, span, to_micros
from outlast.job import JobRecord, NewJob, State, new_id
from outlast.luggage import pack_value, unpack_value
from outlast.options import TaskOptions
from outlast.premises import Premises
from outlast.queue import TaskQueue
from outlast.store import Store, open_store, store_url
from outlast.store.link import ring
from outlast.target import Target
from outlast.worker.settings import Settings
from tests.polling import polled

PATIENCE = float(os.environ.get("TEST_PATIENCE", "20"))
"""Seconds after which what was waited for is taken not to come; a loaded machine takes its time."""
_MARK = "OUTLAST_TEST_HOUSE"
_SUPERVISE = """
import sys
from outlast.worker.__main__ import main
sys.exit(main())
"""
_OPTIONS = {field.name for field in fields(TaskOptions)}
T = TypeVar("T")

PRELUDE = '''
import asyncio, json, mmap, os, struct, sys, threading, time
from pathlib import Path

from outlast.queue import TaskQueue
from outlast.worker.surroundings import current_job

HERE = Path(__file__).parent
queue = TaskQueue(store=f"sqlite:///{HERE / 'outlast.db'}")


def note(event, **more):
    """Write a line into the diary: what happened, when, in which process, for which attempt of which job."""
    job = current_job()
    who = {"job": job.id, "attempt": job.attempt} if job else {"job": None, "attempt": None}
    line = {"event": event, "at": time.monotonic(), "pid": os.getpid(), **who, **more}
    with open(HERE / "diary", "a") as diary:
        diary.write(json.dumps(line) + "\\n")


def entrance(door, flags=0):
    """A pipe with a name: who opens it for reading waits for whoever opens the door, and finds a byte in it then."""
    try:
        os.mkfifo(HERE / f"{door}.door")
    except FileExistsError:
        pass
    return os.open(HERE / f"{door}.door", os.O_RDONLY | flags)


def wait_for(door):
    os.close(entrance(door))


async def await_for(door):
    pipe, opened = entrance(door, os.O_NONBLOCK), asyncio.Event()
    asyncio.get_running_loop().add_reader(pipe, opened.set)
    try:
        await opened.wait()
    finally:
        asyncio.get_running_loop().remove_reader(pipe)
        os.close(pipe)


async def await_in_spite(door):
    """Goes on waiting although it is cancelled."""
    while True:
        try:
            return await await_for(door)
        except asyncio.CancelledError:
            note("cancelled")
'''

TASKS = (
    PRELUDE
    + '''

def work(value=None):
    note("ran", value=value)
    return value


async def awork(value=None):
    note("ran", value=value)
    return value


def whoami():
    return os.getpid()


def hold(door):
    """Runs until its door is open; returns its attempt."""
    note("started")
    wait_for(door)
    note("done")
    return current_job().attempt


async def ahold(door):
    note("started")
    try:
        await await_for(door)
    except asyncio.CancelledError:
        note("cancelled")
        raise
    note("done")
    return current_job().attempt


async def defy(door):
    """Goes on although it is cancelled."""
    note("started")
    await await_in_spite(door)
    return current_job().attempt


def die(signal=9):
    """Kills its own process: in a child, the child."""
    note("started")
    os.kill(os.getpid(), signal)
    wait_for("never")


async def block(door):
    """Blocks its loop until the door is open."""
    note("started")
    wait_for(door)
    note("done")
    return current_job().attempt


def count(to):
    """One call into C that never lets go of the interpreter."""
    note("started")
    sum(range(to))
    note("done")
    return current_job().attempt


def beat(page):
    """Write the time into a page of memory, again and again, until somebody sets the byte behind it."""
    while not page[8]:
        page[:8] = struct.pack("d", time.monotonic())


def hog(page):
    """Never lets go of the interpreter, and says with each beat that it lives; in its first attempt only."""
    note("started")
    with open(HERE / page, "r+b") as file, mmap.mmap(file.fileno(), 16) as memory:
        if current_job().attempt == 1:
            sys.setswitchinterval(3600)
            beat(memory)
            sys.setswitchinterval(0.005)
    note("done")
    return current_job().attempt


def fork(page, door):
    """Forks a process that beats, and waits for the door itself; only its first attempt does."""
    note("started")
    if current_job().attempt == 1:
        with open(HERE / page, "r+b") as file, mmap.mmap(file.fileno(), 16) as memory:
            if os.fork() == 0:
                beat(memory)
                os._exit(0)
        note("forked")
        wait_for(door)
    note("done")
    return current_job().attempt


def err(times=1_000_000):
    note("started")
    if current_job().attempt <= times:
        raise ValueError(f"attempt {current_job().attempt} erred")
    return current_job().attempt
'''
)

SERVER = '''
"""What a server does for its worker, without the HTTP."""

import asyncio, json, signal, sys
from dataclasses import replace
from outlast.worker.host import Host
from outlast.worker.settings import Settings

async def serve():
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    host = Host(replace(Settings.from_message(json.loads(sys.argv[1])), hosted=True))
    host.start()
    await stopped.wait()
    await host.astop()

asyncio.run(serve())
'''


@dataclass(frozen=True)
class Note:
    """A line of the diary."""

    event: str
    at: float
    pid: int
    job: str | None
    attempt: int | None
    more: Mapping[str, Any]


class Process:
    """A process that the house has started, with what it writes to its standard error."""

    def __init__(self, popen: subprocess.Popen[bytes], log: Path) -> None:
        self._popen = popen
        self._log = log
        self.pid = popen.pid

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    @property
    def is_alive(self) -> bool:
        return self._popen.poll() is None

    def signal(self, number: int) -> None:
        self._popen.send_signal(number)

    def stop(self) -> None:
        """SIGSTOP, and wait until it stands still."""
        stop(self.pid)

    def go_on(self) -> None:
        self._popen.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self._popen.kill()
        self._popen.wait(PATIENCE)

    def wait(self, seconds: float = PATIENCE) -> int:
        """Its exit code, once it has ended. AssertionError when it does not in time."""
        try:
            return self._popen.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(
                f"process {self.pid} is still there after {seconds} s:\n{self.log}"
            ) from None

    def terminate(self, seconds: float = PATIENCE) -> int:
        self._popen.terminate()
        return self.wait(seconds)


class House:
    """A folder, an app, a store, and the processes that use them."""

    def __init__(self, folder: Path, url: str | None = None) -> None:
        self.folder = folder
        self.url = store_url(url or f"sqlite:///{folder / 'outlast.db'}")
        self.premises = Premises(self.url)
        self.mark = new_id()
        self.processes: list[Process] = []
        self._store: Store | None = None
        self._thread = 0
        self._doors: dict[str, int] = {}
        """The open ones, held open: whoever comes later goes through, too."""
        self.write("app", TASKS)

    # ---- the app

    def write(self, module: str, source: str) -> Path:
        """Write (or replace) a module of the app."""
        path = self.folder / f"{module.replace('.', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        half = path.with_suffix(".half")
        half.write_text(source)
        return half.rename(path)  # at once: a child may be importing it

    def target(self, name: str = "app") -> Target:
        module, _, attribute = name.partition(":")
        return Target(module, attribute or None, False, (str(self.folder), *sys.path), str(self.folder))

    def open(self, door: str) -> None:
        """Let go the tasks that wait for this door."""
        pipe = self.folder / f"{door}.door"
        with suppress(FileExistsError):
            os.mkfifo(pipe)
        self._doors[door] = self._doors.get(door) or os.open(pipe, os.O_RDWR)
        os.write(self._doors[door], b"!")

    def page(self, name: str) -> Path:
        """Sixteen bytes of memory to share with a task: its last beat, and whether it is to stop."""
        path = self.folder / name
        path.write_bytes(bytes(16))
        return path

    def diary(self, event: str | None = None, job: str | None = None) -> list[Note]:
        """What tasks have noted, in the order they did."""
        try:
            lines = (self.folder / "diary").read_text().splitlines()
        except FileNotFoundError:
            return []
        notes = [_note(json.loads(line)) for line in lines]
        return [each for each in notes if event in (None, each.event) and job in (None, each.job)]

    # ---- processes

    def worker(
        self,
        app: str = "app",
        *,
        before: str = "",
        group: bool = False,
        within: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        **settings: Any,
    ) -> Process:
        """Start a supervisor. Short grace and lease, one child with eight slots, unless `settings` say otherwise.

        `before` is code that its process runs first: a store that fails, say. `group`: as a shell starts a job, in a
        process group of its own. `within`: the words before its command that bring it to another host.
        """
        reading, writing = os.pipe()
        os.write(writing, json.dumps(self.settings(app, **settings).to_message()).encode() + b"\n")
        os.close(writing)
        command = [*within, sys.executable, "-P", "-c", before + _SUPERVISE, "supervise", str(reading)]
        try:
            return self.start(
                command, pass_fds=[reading], process_group=0 if group else None, env=dict(env or {})
            )
        finally:
            os.close(reading)

    def settings(self, app: str = "app", **given: Any) -> Settings:
        defaults: dict[str, Any] = {
            "url": self.url,
            "target": self.target(app),
            "children": 1,
            "slots": 8,
            "grace": timedelta(seconds=0.3),
            "lease": timedelta(seconds=3),
            "log_level": "DEBUG",
        }
        return Settings(**{**defaults, **given})

    def server(self, app: str = "app", *, env: Mapping[str, str] | None = None, **settings: Any) -> Process:
        """Start a process that keeps a worker beside itself, as a server does."""
        self.write("server", SERVER)
        told = json.dumps(self.settings(app, **settings).to_message())
        return self.start([sys.executable, str(self.folder / "server.py"), told], env=dict(env or {}))

    def start(self, command: Sequence[str], **popen: Any) -> Process:
        """Start any process in the house: it is ended with it, and so is what it starts."""
        log = self.folder / f"process-{len(self.processes)}.log"
        env = {**os.environ, "OUTLAST_STORE": self.url, **popen.pop("env", {}), _MARK: self.mark}
        with log.open("wb") as out:
            started = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=env, cwd=self.folder, **popen
            )
        process = Process(started, log)
        self.processes.append(process)
        return process

    def supervisor(self) -> int:
        """The process id of the worker that has the seat, once there is one."""
        return self.until(lambda: locks.holder(self.premises.seat), "a worker to have the seat")

    def children(self, worker: int) -> list[int]:
        """The process ids of a supervisor's living children, by their locks."""
        ids = [record.id for record in self.store.workers() if record.pid == worker]
        holders = [locks.holder(path) for worker_id in ids for path in self.premises.children(worker_id)]
        return [pid for pid in holders if pid]

    def child(self) -> int:
        """The process id of a child, once it runs jobs."""
        pid: int = self.result(self.add("app:whoami"))
        return pid

    def everybody(self) -> list[int]:
        """The living processes that were started in this house, by whomever."""
        return _marked(self.mark)

    def close(self) -> None:
        """End every process of the house, and the store's connection."""
        for process in self.processes:
            process.kill()
        while pids := self.everybody():
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        while self._doors:
            os.close(self._doors.popitem()[1])
        if self._store is not None:
            self._store.close()
            self._store = None

    # ---- jobs

    @property
    def store(self) -> Store:
        """A connection of this thread's own."""
        if self._store is None or self._thread != threading.get_ident():
            self._store, self._thread = open_store(self.url), threading.get_ident()
        return self._store

    def add(self, task: str, arguments: Mapping[str, Any] | None = None, /, **options: Any) -> str:
        """Commit one job, and ring; returns its id. `options` are those of a task, or columns of NewJob."""
        return self.add_all([self.row(task, arguments, **options)])[0]

    def add_all(self, rows: Sequence[NewJob]) -> list[str]:
        """Commit jobs in one transaction, and ring; returns their ids."""
        self.store.insert(rows)
        self.ring()
        return [row.id for row in rows]

    def ring(self) -> None:
        """Tell the worker that has the seat that there may be something to do."""
        ring(self.premises.socket)

    def row(self, task: str, arguments: Mapping[str, Any] | None = None, /, **options: Any) -> NewJob:
        """The row of a job that is not committed yet."""
        columns = {
            name: options.pop(name) for name in NewJob._fields if name in options and name not in _OPTIONS
        }
        given, now = TaskOptions(**options), SystemClock().now()
        packed = (f"{json.dumps(name)}:{pack_value(value)}" for name, value in (arguments or {}).items())
        run_at = now + span(given.delay or timedelta()) if given.run_at is None else to_micros(given.run_at)
        job = NewJob(
            id=new_id(),
            task=task,
            queue=given.queue,
            priority=given.priority,
            luggage="{" + ",".join(packed) + "}",
            files=None,
            context=None,
            owner=None,
            created_at=now,
            run_at=max(now, run_at),
            expires_at=now + span(given.expires) if isinstance(given.expires, timedelta) else None,
            timeout=None if given.timeout is None else span(given.timeout),
            max_attempts=given.attempts,
            retry=given.retry.to_row(),
            at_most_once=int(given.at_most_once),
            next_id=None,
            waiting=0,
            held_by=None,
        )
        return job._replace(**columns)

    def chain(self, rows: Sequence[NewJob]) -> list[str]:
        """Commit the jobs of one request, in their order."""
        bound = TaskQueue(store=self.url).bind(list(rows))
        return self.add_all(bound)

    def job(self, job: str) -> JobRecord:
        return self.store.get(job)

    def result(self, job: str) -> Any:
        """What the task returned, once the job has succeeded."""
        record = self.ended(job)
        assert record.state is State.SUCCEEDED, f"{record}\n{self.logs()}"
        return None if record.result is None else unpack_value(record.result)

    def starts(self, job: str) -> list[int | None]:
        """The attempts that the task's code was entered for, by the diary."""
        return [note.attempt for note in self.diary("started", job)]

    def results(self, jobs: Sequence[str]) -> list[Any]:
        return [self.result(job) for job in jobs]

    # ---- waiting

    def ended(self, job: str) -> JobRecord:
        """The job's record, once it has ended."""
        return self.reached(job, lambda record: record.state.ended, "has ended")

    def running(self, job: str, attempt: int = 1) -> JobRecord:
        """The job's record, once this attempt of it is claimed."""
        return self.reached(
            job, lambda record: record.state is State.RUNNING and record.attempt >= attempt, "is running"
        )

    def reached(self, job: str, condition: Callable[[JobRecord], bool], what: str) -> JobRecord:
        """The job's record, once it fulfils a condition."""
        return self.until(
            lambda: record if condition(record := self.job(job)) else None, lambda: f"{self.job(job)} {what}"
        )

    def noted(self, event: str, job: str | None = None, attempt: int | None = None) -> Note:
        """The first line of the diary that says so, once it is there."""

        def found() -> Note | None:
            return next((note for note in self.diary(event, job) if attempt in (None, note.attempt)), None)

        return self.until(found, f"{event!r} in the diary (job {job}, attempt {attempt})")

    def logged(self, process: Process, text: str) -> str:
        """The line of a process's log that holds this text, once it is there."""

        def found() -> str | None:
            return next((line for line in process.log.splitlines() if text in line), None)

        return self.until(found, f"{text!r} in the log")

    def until(
        self, condition: Callable[[], T | None], what: str | Callable[[], str], within: float = PATIENCE
    ) -> T:
        """What `condition` returns, once it is true; a failure that shows the logs if that takes too long."""
        found = polled(condition, within)
        if not found:
            told = what if isinstance(what, str) else what()
            raise AssertionError(f"not within {within:g} s: {told}\n{self.logs()}")
        return found

    def logs(self) -> str:
        """What the processes have said, and the diary, for a failure's message."""
        notes = "\n".join(map(str, self.diary()))
        return "\n".join(
            [*(f"--- process {each.pid}:\n{each.log}" for each in self.processes), "--- diary:", notes]
        )


# ---- processes, as the kernel tells of them


def state_of(pid: int) -> str | None:
    """R, S, T (stopped), Z (dead and not yet buried) …; None when there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return None


def lives(pid: int) -> bool:
    """Whether a process can still do anything."""
    return state_of(pid) not in (None, "Z", "X")


def last_beat(page: Path) -> float:
    """When the owner of a page last said that it lives, on the monotonic clock; 0.0 before it has."""
    (at,) = struct.unpack_from("d", page.read_bytes())
    return float(at)


def stop(pid: int) -> None:
    """SIGSTOP, and wait until it stands still."""
    os.kill(pid, signal.SIGSTOP)
    assert polled(lambda: state_of(pid) in ("T", None), PATIENCE), f"process {pid} does not stop"


def _marked(mark: str) -> list[int]:
    wanted = f"{_MARK}={mark}".encode()
    pids = (int(entry) for entry in os.listdir("/proc") if entry.isdigit())
    return [pid for pid in pids if lives(pid) and wanted in _environment(pid)]


def _environment(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []


def _note(line: dict[str, Any]) -> Note:
    return Note(*(line.pop(name) for name in ("event", "at", "pid", "job", "attempt")), line)
