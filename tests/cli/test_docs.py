"""docs/cli.md says of every command, option and exit code what it is, and its examples are commands that there are."""

import inspect
import re
from pathlib import Path

import pytest

from outlast.cli import exits
from tests.cli.test_help import LEAVES

PAGE = (Path(__file__).parents[2] / "docs" / "cli.md").read_text("utf-8")
SECTIONS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", PAGE, re.M | re.S))
EXAMPLES = re.findall(r"^\$ outlast (.+)$", PAGE, re.M)


@pytest.mark.parametrize(("path", "command"), LEAVES)
def test_a_command_has_its_section_with_all_of_its_options(path, command):
    section = SECTIONS[" ".join(path)]

    for parameter in command.params:
        for name in parameter.opts if parameter.opts[0].startswith("-") else [parameter.metavar]:
            assert re.search(rf"`{re.escape(name)}\b", section), f"{name} of {' '.join(path)}"


def test_every_exit_code_has_its_heading():
    codes = {value for name, value in inspect.getmembers(exits) if name.isupper() and isinstance(value, int)}

    assert set(map(int, re.findall(r"^### (\d+): ", PAGE, re.M))) == codes


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_is_a_command_that_there_is(example, outlast):
    assert outlast(*example.split(), "--help").code == 0


@pytest.mark.parametrize(("path", "command"), LEAVES)
def test_so_are_the_examples_in_the_help(path, command, outlast):
    for example in re.findall(r"^ *Example: outlast (.+)$", command.help, re.M):
        assert outlast(*example.split(), "--help").code == 0


def test_every_link_within_the_page_leads_somewhere():
    headings = {heading.lower().replace(" ", "-") for heading in SECTIONS}

    assert set(re.findall(r"\(#(.+?)\)", PAGE)) <= headings
