"""The data folder of one run: emptied before it, and held for as long as anything of the run lives."""

import fcntl
import os
import shutil
from pathlib import Path

from examples.demo.trouble import Trouble

_MARK = ".outlast-demo"


def prepare(data: Path) -> int:
    """Make the folder, or empty one of an earlier run. The descriptor holds its lock; the server gets a copy of it.

    Raises Trouble for a folder that is not the demo's, is in use, or cannot be written.
    """
    mark = data / _MARK
    if data.exists() and not mark.exists() and (not data.is_dir() or any(data.iterdir())):
        raise Trouble(f"{data} is there and is not the demo's; name another folder: --data FOLDER")
    try:
        data.mkdir(parents=True, exist_ok=True)
        held = os.open(mark, os.O_RDWR | os.O_CREAT, 0o644)
        _hold(held, data)
        _empty(data)
    except OSError as error:
        raise Trouble(
            f"cannot write to {data} ({error.strerror}); name another folder: --data FOLDER"
        ) from error
    return held


def _hold(held: int, data: Path) -> None:
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        pid = os.pread(held, 20, 0).decode() or "unknown"
        raise Trouble(
            f"another demo (process {pid}), or the server it left, uses {data}; "
            "end it, or name another folder: --data FOLDER"
        ) from error
    os.ftruncate(held, 0)
    os.pwrite(held, str(os.getpid()).encode(), 0)


def _empty(data: Path) -> None:
    for entry in data.iterdir():
        if entry.name == _MARK:
            continue
        if entry.is_dir():
            shutil.rmtree(entry)
        else:
            entry.unlink()
