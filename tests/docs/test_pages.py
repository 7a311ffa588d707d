"""The pages keep up with the code: links, names, options, errors, commands; and the two READMEs with one another."""

import ast
import inspect
import re
import shlex
import tomllib
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest
from typer.main import get_command

import outlast
from outlast import errors, premises
from outlast.cli.root import app
from outlast.explain import Why
from outlast.fastapi.router import JobStatus
from outlast.job import Reason, State
from outlast.options import TaskOptions
from tests.docs.pages import (
    PAGES,
    READMES,
    ROOT,
    anchors,
    bare,
    blocks,
    headings,
    links,
    prose,
    table_under,
    text_of,
)

ENGLISH, CHINESE = READMES
DOCS = ROOT / "docs"


def ids(page: Path) -> str:
    return page.name


def is_ours(error: object) -> bool:
    return inspect.isclass(error) and issubclass(error, errors.OutlastError)


ERRORS = dict(inspect.getmembers(errors, is_ours))


# ---- links


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_links_lead_somewhere(page):
    missing = [target for _, target in links(page) if not is_there(page, target)]

    assert missing == []


def is_there(page: Path, target: str) -> bool:
    if target.startswith(("http:", "https:")):
        return True
    path, _, anchor = target.partition("#")
    file = (page.parent / path).resolve() if path else page
    return file.exists() and (not anchor or anchor in anchors(file))


def test_every_page_can_be_reached_from_the_start_page():
    linked = {target.partition("#")[0] for _, target in links(DOCS / "index.md")}

    assert {page.name for page in DOCS.glob("*.md")} - {"index.md"} <= linked


CODE_LINKS = [
    (page, label.strip("`"), target)
    for page in PAGES
    for label, target in links(page)
    if target.endswith(".py") and "/src/" in target
]


@pytest.mark.parametrize(
    ("page", "name", "target"), CODE_LINKS, ids=lambda value: getattr(value, "name", value)
)
def test_a_name_that_links_to_the_code_is_in_that_file(page, name, target):
    file = (page.parent / target).resolve()

    assert name in names_of(file) or set(ways_to_say(name, file)) & names_in(file)


def names_of(file: Path) -> set[str]:
    """What a file itself is called; a package by its folder."""
    return {file.name, file.parent.name} if file.name == "__init__.py" else {file.name}


def ways_to_say(name: str, file: Path) -> list[str]:
    """`module.function` is said as well as `function`."""
    module, _, rest = name.partition(".")
    return [name, rest] if module == file.stem else [name]


def names_in(file: Path) -> set[str]:
    """Functions and classes of a module, and what the classes have: `Class.method`."""
    defined = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    tree = [node for node in ast.parse(file.read_text("utf-8")).body if isinstance(node, defined)]
    inner = [(node, each) for node in tree for each in node.body if isinstance(each, defined)]
    return {node.name for node in tree} | {f"{node.name}.{each.name}" for node, each in inner}


# ---- what the pages say of the code


def test_the_table_of_options_is_that_of_the_code():
    told = {bare(name): bare(default) for name, default, _ in table_under(DOCS / "tasks.md", "Options")}

    assert told == {
        field.name: as_written(getattr(TaskOptions(), field.name)) for field in fields(TaskOptions)
    }


def test_the_table_of_settings_is_that_of_the_code():
    told = {bare(name): bare(default) for name, default, _ in table_under(DOCS / "running.md", "Settings")}
    parameters = inspect.signature(outlast.TaskQueue).parameters.values()

    assert told == {parameter.name: as_written(parameter.default) for parameter in parameters}


def as_written(value: object) -> str:
    if value == outlast.RetryPolicy():
        return "RetryPolicy()"
    return repr(value).removeprefix("datetime.").replace("'", '"')


def test_every_error_has_its_heading():
    told = [words for level, words in headings(DOCS / "errors.md") if level == 2]

    assert sorted(told) == sorted(ERRORS)


@pytest.mark.parametrize("name", ERRORS)
def test_an_error_says_which_of_pythons_it_is_too(name):
    under = re.split(r"^## ", prose(DOCS / "errors.md").split(f"\n## {name}\n")[1], flags=re.M)[0]
    bases = {base.__name__ for base in ERRORS[name].__bases__ if not is_ours(base) and base is not Exception}

    assert set(re.findall(r"Also\s+a\s+`(\w+)`", under)) == bases


def test_states_and_reasons_are_those_of_the_code():
    glossary = DOCS / "glossary.md"

    assert [bare(state) for state, _ in table_under(glossary, "States")] == list(State)
    assert {bare(reason) for reason, _ in table_under(glossary, "Reasons")} == set(Reason)


def test_the_reasons_why_a_job_does_not_run_are_those_of_the_code():
    told = [bare(why) for why, *_ in table_under(DOCS / "faq.md", "Why does my job not run?")]

    assert told == [why for why in Why if why not in (Why.RUNNING, Why.ENDED)]


def test_the_fields_of_a_status_are_those_of_the_code():
    text = text_of(DOCS / "http.md").split("The status:")[1].split("\n## ")[0]
    told = [name for row in re.findall(r"^\|(.+?)\|", text, re.M) for name in re.findall(r"`(\w+)`", row)]

    assert told == list(JobStatus.model_fields)


def test_loggers_are_those_of_the_code():
    source = "".join(file.read_text("utf-8") for file in (ROOT / "src").rglob("*.py"))

    told = {bare(name) for name, *_ in table_under(DOCS / "running.md", "Logs")}
    assert told == set(re.findall(r'getLogger\("([\w.]+)"\)', source))


def test_locks_are_those_of_the_code():
    told = {bare(name) for name, *_ in table_under(DOCS / "internals.md", "The processes")}

    assert told == set(re.findall(r"(\S+\.lock)", premises.__doc__))


def test_the_environment_is_that_of_the_code():
    source = "".join(file.read_text("utf-8") for file in (ROOT / "src").rglob("*.py"))
    told = {name for page in PAGES for name in re.findall(r"\bOUTLAST_[A-Z_]+\b", text_of(page))}

    assert told <= set(re.findall(r"\bOUTLAST_[A-Z_]+\b", source))


@pytest.mark.parametrize("number", range(1, 13))
def test_a_promise_links_to_its_test(number):
    [title] = [
        words for level, words in headings(DOCS / "promises.md") if level == 2 and f"P{number} " in words
    ]
    under = re.split(r"^## ", text_of(DOCS / "promises.md").split(f"## {title}\n")[1], flags=re.M)[0]

    assert re.findall(r"tests/promises/test_p(\d+)_\w+\.py", under) == [str(number)]


def test_the_readme_names_the_promises_as_their_page_does():
    titles = [words.lower() for level, words in headings(DOCS / "promises.md") if level == 2]

    assert [name.lower() for name, _ in table_under(ENGLISH, "What it promises")] == titles


@pytest.mark.parametrize("readme", READMES, ids=ids)
def test_the_oldest_versions_are_those_that_we_declare(readme):
    project = tomllib.loads(text_of(ROOT / "pyproject.toml"))["project"]
    declared = {
        "Python": project["requires-python"].removeprefix(">="),
        "FastAPI": next(
            word for word in project["dependencies"] if word.startswith("fastapi>=")
        ).removeprefix("fastapi>="),
    }

    assert dict(re.findall(r"(Python|FastAPI) (\d+\.\d+)", prose(readme))) == declared


# ---- the two READMEs


def test_the_readmes_have_the_same_headings_in_the_same_order():
    levels = [[level for level, _ in headings(readme)] for readme in READMES]

    assert levels[0] == levels[1]


@pytest.mark.parametrize("language", ["python", "sh"])
def test_the_readmes_show_the_same_code(language):
    shown = [[block.text for block in blocks(readme, language)] for readme in READMES]

    assert shown[0] == shown[1]


def test_the_readmes_link_to_the_same_pages():
    english, chinese = (sorted(target for _, target in links(readme)) for readme in READMES)

    assert [target for target in english if target != CHINESE.name] == [
        target for target in chinese if target != ENGLISH.name
    ]


def test_the_readmes_have_as_much_in_their_lists_and_tables():
    rows = [re.findall(r"^\| P\d+ ", prose(readme), re.M) for readme in READMES]
    items = [len(re.findall(r"^- ", prose(readme), re.M)) for readme in READMES]

    assert rows[0] == rows[1]
    assert items[0] == items[1]


# ---- commands


def commands_in(page: Path) -> Iterator[str]:
    lines = [line for block in blocks(page) for line in block.text.splitlines() if block.language in SHELLS]
    for told in (*lines, *re.findall(r"`([^`]+)`", prose(page))):
        command = " ".join(told.removeprefix("$ ").split())
        if re.match(r"(OUTLAST_\w+=\S+ )*outlast ", command):
            yield command


SHELLS = ("sh", "console")
COMMANDS = sorted({command for page in PAGES for command in commands_in(page)})


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_is_one_of_the_command_line(command):
    words = shlex.split(command)
    words = words[words.index("outlast") + 1 :]
    found = get_command(app)
    while words and words[0] in getattr(found, "commands", {}):
        found = found.commands[words.pop(0)]
    context = found.make_context("outlast", [], resilient_parsing=True)
    options = {option for parameter in found.get_params(context) for option in parameter.opts}

    assert not hasattr(found, "commands") or all(word.startswith("-") for word in words), "no such command"
    assert {word for word in words if word.startswith("-")} <= options


def test_make_knows_the_targets_that_pages_name():
    told = {
        word
        for page in PAGES
        for word in re.findall(r"(?:^|`)make ([a-z]+)\b", text_of(page), re.M)
        if word != "it"
    }

    assert told <= set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.M))
