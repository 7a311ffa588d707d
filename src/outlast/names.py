"""The names by which another process finds a function or a class: `module:qualname`.

A module that runs as `__main__` is named as another process would import it. Whether what stands under a name is a
task, or fits a row, is for others to ask.
"""

from __future__ import annotations

import importlib
import os.path
import sys
from functools import partial
from types import MethodType, ModuleType

_MAIN = ("__main__", "__mp_main__")  # the second is what multiprocessing calls it in a spawned child


class NotImportable(TypeError):
    """An object that no other process could import: `reason` says why not, `cure` what to do."""

    def __init__(self, reason: str, cure: str) -> None:
        super().__init__(f"{reason}; {cure}")
        self.reason = reason
        self.cure = cure


class NotFound(LookupError):
    """A name that leads to nothing here: its module cannot be imported, or lacks the attribute."""


def import_name(module: str) -> str:
    """The name under which another process can import this module; `__main__` where there is none."""
    return _name_of_main(module) if module in _MAIN else module


def reference(obj: object) -> str:
    """`module:qualname` of a function, class or class method. Raises NotImportable if it does not lead back to it."""
    module, qualname = _told_name(obj)
    if import_name(module) in _MAIN:
        raise NotImportable(
            "it is defined in a session or script that has no importable name",
            "put it into a module of its own and import it from there",
        )
    if not _is_at(obj, module, qualname):
        raise NotImportable(
            f"{module}:{qualname} is not there, or leads to another object (decorated, replaced, or not yet defined)",
            "pass the object that stands under that name",
        )
    return f"{import_name(module)}:{qualname}"


def told_name(obj: object) -> str:
    """`module:qualname` as `obj` tells it, unchecked: for a decorator, which runs before its function is in its place.

    Raises NotImportable for what can never have one: a lambda, a nested function, a bound method, a mere instance.
    """
    module, qualname = _told_name(obj)
    return f"{import_name(module)}:{qualname}"


def resolve(ref: str) -> object:
    """What a `module:qualname` stands for in this process. Raises NotFound, saying what is missing.

    A module that runs here as `__main__` is not imported a second time.
    """
    module, _, qualname = ref.partition(":")
    try:
        return _walk(_module(module), qualname)
    except AttributeError as error:
        raise NotFound(f"{ref} is not there: {error}") from error


def loaded(ref: str) -> object | None:
    """What a `module:qualname` stands for in the modules loaded so far, half of one that is being imported included."""
    module, _, qualname = ref.partition(":")
    here = sys.modules.get("__main__" if import_name("__main__") == module else module)
    try:
        return _walk(here, qualname)
    except AttributeError:
        return None


def _name_of_main(module: str) -> str:
    """By `python -m`, the name given there; by `python file.py`, the file's stem, as its folder is on the path."""
    main = sys.modules.get(module)
    spec = getattr(main, "__spec__", None)
    if spec is not None and spec.name not in _MAIN:
        return str(spec.name)
    stem = os.path.splitext(os.path.basename(getattr(main, "__file__", None) or ""))[0]
    return stem if stem and not stem.startswith("<") and "." not in stem else module


def _told_name(obj: object) -> tuple[str, str]:
    owner = getattr(obj, "__self__", None)
    if isinstance(owner, type):
        return owner.__module__, f"{owner.__qualname__}.{getattr(obj, '__name__', '')}"
    kind = type(obj).__qualname__
    if isinstance(obj, MethodType) or (owner is not None and not isinstance(owner, ModuleType)):
        raise NotImportable(
            f"it is a method bound to a live object ({type(owner).__qualname__})",
            "pass a function of a module, and what the object is made of as arguments",
        )
    if isinstance(obj, partial):
        raise NotImportable(
            "it is a function with arguments already in it (partial)",
            "pass the function itself, and its arguments beside it",
        )
    module, qualname = getattr(obj, "__module__", None), getattr(obj, "__qualname__", None)
    if not isinstance(module, str) or not isinstance(qualname, str):
        raise NotImportable(
            f"it is an object without a name of its own ({kind})", "pass a function or a class"
        )
    if "<lambda>" in qualname:
        raise NotImportable(
            "it is a lambda, which has no name", "write it as a def at the top level of a module"
        )
    if "<locals>" in qualname:
        raise NotImportable(
            f"it is defined inside a function ({qualname})",
            "move it to the top level of its module and pass what it closes over as arguments",
        )
    return module, qualname


def _is_at(obj: object, module: str, qualname: str) -> bool:
    try:
        found = _walk(sys.modules.get(module) or importlib.import_module(module), qualname)
    except (ImportError, AttributeError):
        return False
    # A class method is made anew each time that it is looked up, so it can only be equal.
    return found is obj or (isinstance(getattr(obj, "__self__", None), type) and found == obj)


def _walk(found: object, qualname: str) -> object:
    for step in qualname.split("."):
        found = getattr(found, step)
    return found


def _module(name: str) -> ModuleType:
    # Where `python main.py` has called uvicorn.run("main:app"), both copies are here, and the imported one is served.
    if name not in sys.modules and import_name("__main__") == name:
        return sys.modules["__main__"]
    try:
        return importlib.import_module(name)
    except Exception as error:
        raise NotFound(f"module {name} cannot be imported: {type(error).__name__}: {error}") from error
