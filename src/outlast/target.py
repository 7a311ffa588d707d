"""How another process can import the app: found from where the TaskQueue was made, or from `module:attribute`.

A worker's child imports the module under its importable name, never as `__main__`, so that what stands below
`if __name__ == "__main__":` does not run again.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from types import FrameType
from typing import Any

from outlast.names import import_name

_INSTALLED = tuple(set(sysconfig.get_paths().values()) - {sysconfig.get_path("data")})


@dataclass(frozen=True, slots=True)
class Target:
    """What to import, and how: `module`, then `attribute` of it (called when it is a `factory`), with this `path`."""

    module: str
    attribute: str | None
    factory: bool
    path: tuple[str, ...]
    folder: str

    @classmethod
    def of_name(cls, name: str, *, factory: bool = False) -> Target:
        """The target of `module:attribute`, as uvicorn writes it, looked up from the current folder."""
        module, _, attribute = name.partition(":")
        folder = os.getcwd()
        return cls(module, attribute or None, factory, tuple(dict.fromkeys([folder, *sys.path])), folder)

    @property
    def name(self) -> str:
        return f"{self.module}:{self.attribute}" if self.attribute else self.module

    def to_message(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_message(cls, fields: dict[str, Any]) -> Target:
        return cls(**{**fields, "path": tuple(fields["path"])})


def of_caller() -> Target:
    """The target of the code that runs now: the outermost module being imported, or the app factory a server called."""
    frames = list(_user_frames(sys._getframe(1)))
    modules = [frame for frame in frames if frame.f_code.co_name == "<module>"]
    if modules:
        return _here(modules[-1], attribute=None, factory=False)
    return _here(frames[-1], attribute=frames[-1].f_code.co_qualname, factory=True)


def _user_frames(frame: FrameType | None) -> Iterator[FrameType]:
    """From the caller outwards through the user's own code, up to the server or tool that called it."""
    own: str | None = None
    while frame is not None:
        package = frame.f_globals.get("__name__", "").partition(".")[0]
        if package not in ("outlast", "importlib"):
            own = own or package
            if package != own and _is_installed(frame.f_code.co_filename):
                return
            yield frame
        frame = frame.f_back


def _is_installed(file: str) -> bool:
    return file.startswith(("<frozen", *_INSTALLED))


def _here(frame: FrameType, *, attribute: str | None, factory: bool) -> Target:
    module = import_name(frame.f_globals.get("__name__", "__main__"))
    return Target(module, attribute, factory, tuple(entry or os.getcwd() for entry in sys.path), os.getcwd())
