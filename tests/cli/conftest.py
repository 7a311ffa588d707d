"""What the tests of the command line share: a store file, and a way to run a command on it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from outlast.cli.root import app
from outlast.store import Store
from tests.cli.stored import fill, made


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A folder of its own, and nothing of the developer's settings."""
    for name in (
        "OUTLAST_STORE",
        "OUTLAST_FILES",
        "OUTLAST_WORKER",
        "OUTLAST_GRACE",
        "OUTLAST_LOG_LEVEL",
        "COLUMNS",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty store, where commands look for one."""
    store = made(tmp_path / "outlast.db")
    yield store
    store.close()


@pytest.fixture
def ids(store: Store) -> dict[str, str]:
    """A job in each state in that store: their ids."""
    return fill(store)


class Run:
    """What came of a command."""

    def __init__(self, result: Any) -> None:
        self.code: int = result.exit_code
        self.out: str = result.stdout
        self.err: str = result.stderr

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def outlast() -> Callable[..., Run]:
    def run(*words: str, typed: str | None = None) -> Run:
        result = CliRunner().invoke(app, list(words), input=typed, prog_name="outlast")
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Run(result)

    return run
