"""How a worker's child is to find the app: from the place where the TaskQueue was made, in a real process each."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from outlast.target import Target

QUEUE = """
from outlast.queue import TaskQueue
queue = TaskQueue(store="sqlite:///never-opened.db")
"""
TELL = """
import json
def tell(queue):
    print(json.dumps(queue.target.to_message()))
"""


def test_a_module_that_a_server_imports(tmp_path: Path) -> None:
    told = run(tmp_path, ["-m", "unittest", "-q", "main"], main=QUEUE + TELL + "tell(queue)")

    assert (told["module"], told["attribute"], told["factory"]) == ("main", None, False)


def test_a_module_that_the_served_one_imports(tmp_path: Path) -> None:
    """The queue is made in a part of the app: the child imports the whole."""
    told = run(
        tmp_path,
        ["-m", "unittest", "-q", "main"],
        main=TELL + "from app.parts import queue\ntell(queue)",
        **{"app.__init__": "", "app.parts": QUEUE},
    )

    assert told["module"] == "main"


def test_a_factory_that_a_server_calls(tmp_path: Path) -> None:
    """It is called in the child, too. A thread of the standard library stands for the server."""
    told = run(
        tmp_path,
        ["-m", "unittest", "-q", "main"],
        main=TELL
        + """
import threading
from outlast.queue import TaskQueue
def make():
    tell(TaskQueue(store="sqlite:///never-opened.db"))
def load_tests(*_):
    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    return unittest.TestSuite()
import unittest
""",
    )

    assert (told["module"], told["attribute"], told["factory"]) == ("main", "make", True)


def test_a_script(tmp_path: Path) -> None:
    """`python main.py`: its module has a name under which it can be imported from its folder, wherever it began."""
    (tmp_path / "elsewhere").mkdir()
    told = run(tmp_path, ["../main.py"], folder="elsewhere", main=QUEUE + TELL + "tell(queue)")

    assert told["module"] == "main"
    assert told["path"][0] == str(tmp_path)
    assert told["folder"] == str(tmp_path / "elsewhere")


def test_a_module_run_by_name(tmp_path: Path) -> None:
    """`python -m package.module`: by the name given there."""
    told = run(
        tmp_path,
        ["-m", "package.server"],
        **{"package.__init__": "", "package.server": QUEUE + TELL + "tell(queue)"},
    )

    assert told["module"] == "package.server"
    assert told["path"][0] == str(tmp_path)


def test_a_script_that_imports_the_module_with_the_queue(tmp_path: Path) -> None:
    """The script is the app: it is the outermost of what is being imported."""
    told = run(tmp_path, ["main.py"], main=TELL + "import parts\ntell(parts.queue)", parts=QUEUE)

    assert told["module"] == "main"


@pytest.mark.parametrize("name", ["main:app", "package.module:factory.made", "main"])
def test_a_target_by_name_is_looked_up_from_here(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    target = Target.of_name(name)

    assert target.name == name
    assert target.path[0] == target.folder == os.getcwd()
    assert not target.factory
    assert Target.of_name(name, factory=True).factory


def test_a_target_goes_from_process_to_process() -> None:
    target = Target.of_name("main:app", factory=True)

    assert Target.from_message(json.loads(json.dumps(target.to_message()))) == target


def run(root: Path, words: list[str], *, folder: str = ".", **modules: str) -> dict[str, Any]:
    """The target that a Python program of these modules tells."""
    for module, source in modules.items():
        path = root / f"{module.replace('.', '/')}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(source)
    done = subprocess.run(
        [sys.executable, *words], cwd=root / folder, capture_output=True, text=True, check=False
    )
    assert done.stdout, done.stderr
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[0])
    return told
