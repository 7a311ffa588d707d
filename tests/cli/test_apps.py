"""Where a command finds the app that it was not told of."""

import pytest

from outlast.cli.apps import find_app
from outlast.cli.exits import Failure

APP = "from fastapi import FastAPI\napp = FastAPI()\n"


@pytest.fixture
def write(tmp_path):
    def write(**files: str) -> None:
        for name, text in files.items():
            path = tmp_path / (name.replace("__", "/") + ".py")
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)

    return write


@pytest.mark.parametrize(
    ("files", "name", "folder"),
    [
        ({"main": APP, "app": APP}, "main:app", "."),
        ({"app": APP}, "app:app", "."),
        ({"api": "import fastapi\napi: object = fastapi.FastAPI()"}, "api:api", "."),
        ({"main": "shop = FastAPI(title='Shop')"}, "main:shop", "."),
        ({"main": "admin = FastAPI()\napp = FastAPI()"}, "main:app", "."),
        ({"main": "from shop import make\napp = make()"}, "main:app", "."),
        ({"main": "from shop import site as app"}, "main:app", "."),
        ({"main": "def broken(:"}, "main:app", "."),
        ({"main": "queue = TaskQueue()"}, "main", "."),
        ({"app__main": APP}, "main:app", "app"),
    ],
)
def test_the_app_is_found_where_fastapi_looks_for_it(files, name, folder, write, tmp_path):
    write(**files)

    found = find_app(None)

    assert (found.name, found.folder) == (name, tmp_path / folder)
    assert found.how.startswith("found in ")


def test_in_a_package_its_module_has_the_packages_name(write, tmp_path):
    write(app__main=APP)
    (tmp_path / "app" / "__init__.py").touch()

    for given in (None, "app/main.py", "app.main:app", "app.main"):
        found = find_app(given)
        assert (found.name, found.folder) == ("app.main:app", tmp_path)


def test_the_project_file_has_the_first_word(write, tmp_path):
    write(main=APP)
    (tmp_path / "pyproject.toml").write_text('[tool.fastapi]\nentrypoint = "shop.web:site"\n')

    assert find_app(None).name == "shop.web:site"


@pytest.mark.parametrize("text", ["", "[tool]\n", "[tool.fastapi]\nentrypoint = 3", "no toml"])
def test_a_project_file_without_that_word_is_passed_by(text, write, tmp_path):
    write(main=APP)
    (tmp_path / "pyproject.toml").write_text(text)

    assert find_app(None).name == "main:app"


def test_a_name_is_taken_at_its_word(write):
    write(main="")

    found = find_app("main:create_app")

    assert (found.name, found.how) == ("main:create_app", "")


def test_an_installed_module_can_be_named():
    assert find_app("json.tool:main").name == "json.tool:main"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (None, "no app found in"),
        ("missing:app", "there is no module 'missing' in"),
        ("missing.py", "there is no file"),
        ("app/missing.py", "there is no file"),
    ],
)
def test_what_is_not_there_is_told_with_the_folder(given, told, tmp_path):
    with pytest.raises(Failure, match=told) as failure:
        find_app(given)

    assert str(tmp_path) in str(failure.value)
    assert failure.value.code == 2


def test_a_worker_imports_it_from_its_folder(write, tmp_path):
    write(app__main=APP)

    target = find_app(None).target()

    assert (target.module, target.attribute, target.path[0]) == ("main", "app", str(tmp_path / "app"))
