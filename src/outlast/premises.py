"""Where the processes of one store on one machine meet: a folder of lock files beside it, and a socket.

    duty.lock            the one supervisor that serves every queue, which servers look for and start
    seat.lock            the one supervisor that listens on the socket
    server.ID.lock       a server that holds jobs
    worker.ID.lock       a supervisor
    worker.ID.N.lock     its child N
    worker.ID.relayN.lock  its child that publishes to an engine
    command.ID.lock      an engine's command
    worker.ID.keeper.lock  what keeps a process of an engine, and frees its jobs
    id                   the name of this place: only who shares it can tell by a lock whether a process lives

The socket lies in a private run-time folder, because the name of a socket must be short. So does the folder of a store
that lies in no file.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from uuid import uuid4

from outlast import locks
from outlast.address import is_postgres, shown
from outlast.errors import StoreUnusable


class Premises:
    """The meeting place of the processes that use one store on this machine."""

    def __init__(self, url: str) -> None:
        self.folder = _lock_folder(url)
        self._name = hashlib.sha256(str(self.folder).encode()).hexdigest()[:16]

    @property
    def duty(self) -> Path:
        return self._made() / "duty.lock"

    @property
    def seat(self) -> Path:
        return self._made() / "seat.lock"

    @cached_property
    def id(self) -> str:
        """What tells this place from all others, those of machines and containers of the same name among them."""
        path = self._made() / "id"
        if not path.exists():
            half = path.with_name(f"id.{uuid4().hex}")
            half.write_text(uuid4().hex)
            with suppress(FileExistsError):
                os.link(half, path)  # whole or not at all, and never in place of another's
            half.unlink()
        return path.read_text()

    def server(self, server: str) -> Path:
        return self._made() / f"server.{server}.lock"

    def has_servers(self) -> bool:
        """Whether a server lives here that has held jobs. Of others, only their workers are seen."""
        return not all(locks.is_free(lock) for lock in self.folder.glob("server.*.lock"))

    def worker(self, worker: str) -> Path:
        return self._made() / f"worker.{worker}.lock"

    def child(self, worker: str, number: int) -> Path:
        return self._made() / f"worker.{worker}.{number}.lock"

    def relay(self, worker: str, number: int) -> Path:
        return self._made() / f"worker.{worker}.relay{number}.lock"

    def command(self, command: str) -> Path:
        return self._made() / f"command.{command}.lock"

    def keeper(self, worker: str) -> Path:
        return self._made() / f"worker.{worker}.keeper.lock"

    def children(self, worker: str) -> list[Path]:
        """The lock files of a worker's children, living and dead; those that publish for it are among them."""
        return list(self._made().glob(f"worker.{worker}.*.lock"))

    @property
    def socket(self) -> str:
        """The path of the supervisor's socket."""
        return str(_private_folder() / f"{self._name}.sock")

    def duty_is_free(self) -> bool:
        """Whether no supervisor of this machine serves every queue. Raises StoreUnusable where it cannot be seen."""
        try:
            return not self.folder.exists() or locks.is_free(self.duty)
        except PermissionError as error:
            raise StoreUnusable(
                f"this user may not open the lock files in {self.folder}, which another user made; "
                "run everything that uses this store as one user, and give that one the store and this folder"
            ) from error

    def _made(self) -> Path:
        try:
            self.folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise StoreUnusable(
                f"cannot make the folder of lock files {self.folder} ({error.strerror}); "
                "Outlast needs to write beside its store"
            ) from error
        return self.folder


def _lock_folder(url: str) -> Path:
    """`outlast.db` → `outlast.db-locks/`, by its real path, so that two names of one file meet.

    Of a database elsewhere: by its URL without the password, in the private folder.
    """
    if is_postgres(url):
        return _private_folder() / f"{hashlib.sha256(shown(url).encode()).hexdigest()[:16]}-locks"
    path = Path(os.path.realpath(url.removeprefix("sqlite:///")))
    return path.with_name(path.name + "-locks")


def _private_folder() -> Path:
    """A folder that only this user can enter. Raises StoreUnusable when somebody else owns it."""
    root = Path(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir())
    folder = root / f"outlast-{os.getuid()}"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = folder.lstat()
    if (
        status.st_uid != os.getuid()
        or stat.S_IMODE(status.st_mode) & 0o077
        or not stat.S_ISDIR(status.st_mode)
    ):
        raise StoreUnusable(f"{folder} is not a folder of this user alone; remove it, or set XDG_RUNTIME_DIR")
    return folder
