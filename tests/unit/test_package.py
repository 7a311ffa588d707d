"""What the package is to those who install it: version, types, what an import costs, what it needs."""

import re
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[2]
WEB_STACK = {"celery", "fastapi", "jinja2", "psycopg", "pydantic", "sqlalchemy", "starlette", "typer"}


def test_the_changelog_tells_of_the_version_that_is_installed():
    releases = re.findall(r"^## (\d+\.\d+\.\d+)", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)

    assert releases[0] == version("outlast")


def test_the_wheel_tells_type_checkers_that_it_is_typed_and_has_the_pages_of_the_dashboard(tmp_path):
    run("-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path), cwd=ROOT)

    [wheel] = tmp_path.glob("*.whl")
    names = ZipFile(wheel).namelist()
    assert "outlast/py.typed" in names
    dashboard = ("templates/page.html", "static/dashboard.css", "static/htmx.min.js", "static/htmx.LICENSE")
    assert {f"outlast/dashboard/{name}" for name in dashboard} <= set(names)


@pytest.mark.parametrize("module", ["outlast", "outlast.worker.supervisor"])
def test_importing_it_loads_nothing_of_the_web_stack(module, tmp_path):
    loaded = run("-c", f"import {module}, sys; print(*sys.modules)", cwd=tmp_path).split()

    assert module in loaded
    assert WEB_STACK.isdisjoint(loaded)


def test_the_oldest_pins_are_the_oldest_versions_that_we_declare():
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["dependencies"]
    pins = (ROOT / "requirements" / "oldest.in").read_text("utf-8")

    assert dict(floors(declared, ">=")).items() <= dict(floors(reversed(pins.splitlines()), "==")).items()


def floors(lines, operator):
    """Name and version of each requirement; of several for one name, the last."""
    for line in lines:
        if found := re.match(rf"([\w-]+){operator}([\d.]+)", line):
            yield found[1], re.sub(r"(\.0)+$", "", found[2])


def run(*args, cwd):
    return subprocess.run(
        [sys.executable, *args], cwd=cwd, capture_output=True, text=True, check=True, timeout=60
    ).stdout
