"""Names by which another process finds functions and classes, also those of the module that runs as `__main__`."""

from __future__ import annotations

import functools
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from outlast import names
from outlast.names import NotFound, NotImportable, import_name, reference, resolve, told_name


class Outer:
    class Inner:
        @classmethod
        def make(cls) -> None:
            pass

    @staticmethod
    def static() -> None:
        pass

    def method(self) -> None:
        pass


class Child(Outer.Inner):
    pass


def wrapped(func: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(func)
    def wrapper(*args: Any) -> Any:
        return func(*args)

    return wrapper


@wrapped
def decorated() -> None:
    pass


cached = functools.lru_cache(wrapped)
anonymous = lambda: 1  # noqa: E731


@pytest.mark.parametrize(
    ("obj", "name"),
    [
        (wrapped, f"{__name__}:wrapped"),
        (decorated, f"{__name__}:decorated"),
        (Outer, f"{__name__}:Outer"),
        (Outer.Inner, f"{__name__}:Outer.Inner"),
        (Outer.static, f"{__name__}:Outer.static"),
        (Outer.method, f"{__name__}:Outer.method"),
        (Outer.Inner.make, f"{__name__}:Outer.Inner.make"),
        (Child.make, f"{__name__}:Child.make"),
        (len, "builtins:len"),
        (dict.fromkeys, "builtins:dict.fromkeys"),
        (ValueError, "builtins:ValueError"),
    ],
)
def test_a_name_leads_back_to_what_it_names(obj: Any, name: str) -> None:
    assert reference(obj) == told_name(obj) == name
    assert resolve(name) == obj


@pytest.mark.parametrize(
    ("obj", "reason"),
    [
        (anonymous, "a lambda"),
        (Outer().method, "bound to a live object (Outer)"),
        ([].append, "bound to a live object (list)"),
        (functools.partial(len), "with arguments already in it (partial)"),
        (Outer(), "without a name of its own (Outer)"),
        (decorated.__wrapped__, "leads to another object"),  # type: ignore[attr-defined]
        (cached, "leads to another object"),
    ],
)
def test_what_no_other_process_could_import_is_refused_with_reason_and_cure(obj: Any, reason: str) -> None:
    with pytest.raises(NotImportable) as refusal:
        reference(obj)
    assert reason in refusal.value.reason
    assert refusal.value.cure
    assert isinstance(refusal.value, TypeError)


def test_a_nested_function_is_refused_before_anybody_looks_for_it() -> None:
    def nested() -> None:
        pass

    with pytest.raises(NotImportable, match=r"inside a function \(.*nested\); move it to the top level"):
        told_name(nested)


def test_a_decorator_can_name_a_function_that_is_not_in_its_place_yet() -> None:
    assert told_name(decorated.__wrapped__) == f"{__name__}:decorated"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("no.such.module:f", "module no.such.module cannot be imported: ModuleNotFoundError"),
        (f"{__name__}:Outer.absent", "has no attribute 'absent'"),
        (f"{__name__}:", "is not there"),
    ],
)
def test_a_name_that_leads_nowhere_says_what_is_missing(name: str, words: str) -> None:
    with pytest.raises(NotFound, match=words):
        resolve(name)


def test_a_module_that_fails_while_it_is_imported_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_module.py").write_text("1 / 0")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(NotFound, match="module broken_module cannot be imported: ZeroDivisionError"):
        resolve("broken_module:f")


MAIN = """
import sys
from outlast.names import import_name, reference, resolve
def f(): ...
class C:
    def m(self): ...
if __name__ == "__main__":
    name = import_name("__main__")
    assert resolve(f"{name}:f") is f and resolve(f"{name}:C.m") is C.m
    assert reference(f) == f"{name}:f"
    print(name, name in sys.modules)
"""


def run(*command: str, cwd: Path, text: str = "") -> str:
    return subprocess.check_output([sys.executable, *command], cwd=cwd, input=text, text=True).strip()


def test_the_main_module_is_named_as_another_process_imports_it(tmp_path: Path) -> None:
    (tmp_path / "pkg").mkdir()
    for file in ("main.py", "pkg/__init__.py", "pkg/app.py", "pkg/__main__.py"):
        (tmp_path / file).write_text(MAIN)
    assert run("main.py", cwd=tmp_path) == "main False"
    assert run("-m", "pkg.app", cwd=tmp_path) == "pkg.app False"
    assert run("-m", "pkg", cwd=tmp_path) == "pkg.__main__ False"


def test_of_two_copies_of_the_main_module_the_imported_one_is_found(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(
        "from outlast.names import reference, resolve\n"
        "def f(): ...\n"
        "if __name__ == '__main__':\n"
        "    import main\n"
        "    assert reference(f) == reference(main.f) == 'main:f'\n"
        "    print(resolve('main:f') is main.f)\n"
    )
    assert run("main.py", cwd=tmp_path) == "True"


def test_a_spawned_child_names_the_main_module_as_its_parent_does(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(
        "import multiprocessing\n"
        "from outlast.names import reference\n"
        "def f():\n"
        "    print(f.__module__, reference(f))\n"
        "if __name__ == '__main__':\n"
        "    child = multiprocessing.get_context('spawn').Process(target=f)\n"
        "    child.start()\n"
        "    child.join()\n"
    )
    assert run("main.py", cwd=tmp_path) == "__mp_main__ main:f"


def test_what_is_typed_into_a_session_has_no_name(tmp_path: Path) -> None:
    code = (
        "from outlast.names import NotImportable, import_name, reference\n"
        "def f(): ...\n"
        "try: reference(f)\n"
        "except NotImportable as error: print(import_name('__main__'), error)\n"
    )
    told = "__main__ it is defined in a session or script that has no importable name; put it into a module"
    assert run("-c", code, cwd=tmp_path).startswith(told)
    assert run("-", cwd=tmp_path, text=code).startswith(told)


def test_other_modules_keep_their_names() -> None:
    assert import_name("shop.tasks") == "shop.tasks"
    assert names.__name__ == import_name(names.__name__)
