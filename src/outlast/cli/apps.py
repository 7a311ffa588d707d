"""Finds the app that a command is about, without importing it: by its name, its file, or where FastAPI looks for it."""

from __future__ import annotations

import ast
import os
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.machinery import PathFinder
from pathlib import Path

from outlast.cli.exits import UNUSABLE, Failure
from outlast.target import Target

_PLACES = ("main.py", "app.py", "api.py", "app/main.py", "app/app.py", "app/api.py")
_NAMES = ("app", "api")


@dataclass(frozen=True, slots=True)
class App:
    """Where an app is: its module, its name in there (None: nowhere in sight), and the folder to import it from."""

    module: str
    attribute: str | None
    folder: Path
    how: str
    """How it was found; empty when it was simply named."""

    @property
    def name(self) -> str:
        return f"{self.module}:{self.attribute}" if self.attribute else self.module

    def target(self, *, factory: bool = False) -> Target:
        """How a worker imports it."""
        target = Target.of_name(self.name, factory=factory)
        return replace(target, path=tuple(dict.fromkeys([str(self.folder), *target.path])))


def find_app(given: str | None) -> App:
    """The app named `module:app`, by its file, or, if nothing is given, where it usually is. Raises Failure."""
    if given is None:
        return _guessed()
    if given.endswith(".py") or os.sep in given:
        return _in_file(Path(given))
    module, _, attribute = given.partition(":")
    file = _require_module(module)
    if attribute or file is None:
        return App(module, attribute or None, Path.cwd(), "")
    return replace(_in_file(file), module=module, folder=Path.cwd())


def _guessed() -> App:
    entry = _entrypoint(Path("pyproject.toml"))
    if entry is not None:
        module, _, attribute = entry.partition(":")
        return App(module, attribute or None, Path.cwd(), "named in pyproject.toml")
    for place in _PLACES:
        if Path(place).is_file():
            return _in_file(Path(place))
    raise Failure(
        f"no app found in {Path.cwd()} (looked for {', '.join(_PLACES)}); name it, such as main:app",
        UNUSABLE,
    )


def _entrypoint(file: Path) -> str | None:
    """`entrypoint` of `[tool.fastapi]`, where FastAPI's own command reads it."""
    try:
        told = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    entry = told.get("tool", {}).get("fastapi", {}).get("entrypoint")
    return entry if isinstance(entry, str) else None


def _in_file(file: Path) -> App:
    """The app in a file, whose module is named from the first folder upwards that is no package."""
    if not file.is_file():
        raise Failure(f"there is no file {file.absolute()}", UNUSABLE)
    path = file.resolve()
    parts = [] if path.stem == "__init__" else [path.stem]
    folder = path.parent
    while (folder / "__init__.py").is_file():
        parts.insert(0, folder.name)
        folder = folder.parent
    return App(".".join(parts), _attribute(path), folder, f"found in {file}")


def _require_module(module: str) -> Path | None:
    """The file of a module in the current folder, if it is there; else it must be installed."""
    stem = Path.cwd().joinpath(*module.split("."))
    for file in (stem.with_suffix(".py"), stem / "__init__.py"):
        if file.is_file():
            return file
    if PathFinder.find_spec(module.partition(".")[0], [os.getcwd(), *sys.path]) is None:
        raise Failure(
            f"there is no module {module!r} in {Path.cwd()}, and none is installed; name the app as MODULE:APP, "
            "such as main:app, or by its file, such as src/app/main.py, or change the folder",
            UNUSABLE,
        )
    return None


def _attribute(file: Path) -> str | None:
    """What the file calls its app: what it makes by `FastAPI(…)`, or else whatever has one of the usual names."""
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):
        return _NAMES[0]  # whoever imports it tells what is wrong with it
    made = [name for name, value in _assignments(tree) if _is_fastapi(value)]
    known = made or [name for name, _ in _assignments(tree)]
    return next((name for name in _NAMES if name in known), made[0] if made else None)


def _assignments(tree: ast.Module) -> Iterator[tuple[str, ast.expr | None]]:
    for statement in tree.body:
        if isinstance(statement, ast.Assign):
            yield from (
                (each.id, statement.value) for each in statement.targets if isinstance(each, ast.Name)
            )
        elif isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            yield statement.target.id, statement.value
        elif isinstance(statement, ast.ImportFrom):
            yield from ((each.asname or each.name, None) for each in statement.names)


def _is_fastapi(value: ast.expr | None) -> bool:
    if not isinstance(value, ast.Call):
        return False
    called = value.func
    return getattr(called, "attr", getattr(called, "id", "")) == "FastAPI"
