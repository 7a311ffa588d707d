"""Operating-system locks on files: free the moment their process is gone, whatever killed it.

Process ids lie across containers and are used again; a lock does neither. POSIX record locks are not inherited by a
fork, so a process that a task forked off does not keep its parent's lock. They have one trap: closing *any*
descriptor of the file frees the lock, so a process never opens the file of a lock it holds a second time.
"""

from __future__ import annotations

import fcntl
import os
import struct
import sys
from pathlib import Path

_LINUX = "hhqqi"  # type, whence, start, length, pid
_BSD = "qqihh"  # start, length, pid, type, whence
_mine: dict[str, tuple[int, int]] = {}  # path → (the process that took it, its descriptor)


def acquire(path: Path) -> bool:
    """Take the lock of a file (made if need be) for as long as this process lives. False when another has it."""
    if _is_mine(path):
        return True
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return False
    _mine[str(path)] = (os.getpid(), descriptor)
    return True


def release(path: Path, *, remove: bool = False) -> None:
    """Free a lock that this process holds; `remove` its file first, so that nobody locks a file without a name."""
    if not _is_mine(path):
        return
    if remove:
        path.unlink(missing_ok=True)
    os.close(_mine.pop(str(path))[1])


def _is_mine(path: Path) -> bool:
    """A fork copies the table but not the lock: the process id tells."""
    owner, _ = _mine.get(str(path), (0, 0))
    return owner == os.getpid()


def is_free(path: Path) -> bool:
    """Whether no living process holds the lock of this file. A file that is not there is free."""
    return holder(path) is None


def holder(path: Path) -> int | None:
    """The process that holds the lock, as the kernel says it; 0 when it lives where we cannot name it; None if free."""
    if _is_mine(path):
        return os.getpid()
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        return _ask_kernel(descriptor)
    finally:
        os.close(descriptor)


def _ask_kernel(descriptor: int) -> int | None:
    if sys.platform == "linux":
        asked = struct.pack(_LINUX, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        kind, _, _, _, pid = struct.unpack(_LINUX, fcntl.fcntl(descriptor, fcntl.F_GETLK, asked))
    else:
        asked = struct.pack(_BSD, 0, 0, 0, fcntl.F_WRLCK, os.SEEK_SET)
        _, _, pid, kind, _ = struct.unpack(_BSD, fcntl.fcntl(descriptor, fcntl.F_GETLK, asked))
    return None if kind == fcntl.F_UNLCK else max(pid, 0)
