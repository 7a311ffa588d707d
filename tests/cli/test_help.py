"""Every command explains itself, answers at once, and says clearly what it did not understand."""

import subprocess
import sys
from collections.abc import Iterator

import pytest
import typer

from outlast.cli.root import app


def commands(command=None, path=("outlast",)) -> Iterator[tuple[tuple[str, ...], object]]:
    command = command or typer.main.get_command(app)
    yield path, command
    for name, child in getattr(command, "commands", {}).items():
        yield from commands(child, (*path, name))


LEAVES = [
    pytest.param(path, command, id=" ".join(path[1:]))
    for path, command in commands()
    if not hasattr(command, "commands")
]


@pytest.mark.parametrize(("path", "command"), LEAVES)
def test_a_command_has_a_sentence_an_example_and_a_word_on_each_option(path, command, outlast):
    help_text = outlast(*path[1:], "--help").out

    assert f"Example: {' '.join(path)}" in " ".join(help_text.split())
    for parameter in command.params:
        assert parameter.help, f"{parameter.name} of {' '.join(path)} has no help"


@pytest.mark.parametrize("words", [[], ["jobs"], ["queues"]])
def test_a_group_alone_shows_its_help(words, outlast):
    ran = outlast(*words)

    assert ran.code == 0
    assert "Usage: outlast" in ran.out


@pytest.mark.parametrize(("path", "command"), LEAVES)
def test_all_but_what_serves_can_answer_in_json(path, command):
    assert ("as_json" in {each.name for each in command.params}) == (
        path[1] not in ("dev", "worker", "relay", "dashboard")
    )


def test_the_version(outlast):
    from importlib.metadata import version

    assert outlast("--version").out == f"outlast {version('outlast')}\n"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["jbos"], "No such command 'jbos'"),
        (["jobs", "list", "--stat", "failed"], "No such option"),
        (["jobs", "list", "--state", "retrying"], "retrying"),
        (["jobs", "show"], "Missing argument 'ID'"),
        (["prune", "--older-than", "7"], "'7' is no duration; write a number and its unit"),
        (["worker", "--queues", ","], "names no queue"),
    ],
)
def test_what_is_misspelt_is_told_in_one_line_and_ends_with_2(words, told, outlast, tmp_path):
    (tmp_path / "main.py").write_text("app = None")

    ran = outlast(*words)

    assert ran.code == 2
    assert told in ran.err
    assert "Traceback" not in ran.err
    assert len(ran.err.strip().splitlines()) == 1


def test_help_loads_no_framework_no_database_and_no_server():
    heavy = "asyncio fastapi pydantic rich.progress sqlite3 starlette uvicorn"
    code = f"""
import atexit, os, sys
from outlast.cli import main
atexit.register(lambda: os.write(2, " ".join(n for n in "{heavy}".split() if n in sys.modules).encode()))
sys.argv = ["outlast", "--help"]
main()
"""

    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "Usage: outlast" in ended.stdout
    assert ended.stderr == ""
