"""Where the processes of one store on one machine meet: a folder of lock files beside it, and a socket.

    duty.lock            the one supervisor that serves every queue, which servers look for and start
    seat.lock            the one supervisor that listens on the socket
    server.ID.lock       a server that holds jobs
    worker.ID.lock       a supervisor
    worker.ID.N.lock     its child N

The socket lies in a private run-time folder, because the name of a socket must be short.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from pathlib import Path

from outlast import locks
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

    def server(self, server: str) -> Path:
        return self._made() / f"server.{server}.lock"

    def worker(self, worker: str) -> Path:
        return self._made() / f"worker.{worker}.lock"

    def child(self, worker: str, number: int) -> Path:
        return self._made() / f"worker.{worker}.{number}.lock"

    def children(self, worker: str) -> list[Path]:
        """The lock files of a worker's children, living and dead."""
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
    """`outlast.db` → `outlast.db-locks/`, by its real path, so that two names of one file meet."""
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
