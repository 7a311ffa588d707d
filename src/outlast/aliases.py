"""Former names of tasks: which task of today a job means that was enqueued under a name of before. Pure.

Finding the function under a name is for `outlast.names`; whose name it is when it leads to one is no question: it goes
first.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from outlast import names
from outlast.errors import OptionRefused


class Declared:
    """The tasks that were declared on one TaskQueue: their names, and the names that they had before."""

    def __init__(self) -> None:
        self._names: set[str] = set()
        self._by_alias: dict[str, str] = {}

    def owner(self, alias: str) -> str | None:
        """The name of the task that has this alias."""
        return self._by_alias.get(alias)

    def add(self, name: str, aliases: Iterable[str], everyone: Collection[Declared]) -> None:
        """Declare a task. Raises OptionRefused where another one, of `everyone`, claims the same name."""
        full = _full(name, aliases)
        _require_free_name(name, everyone)
        for alias in full:
            _require_free_alias(name, alias, everyone)
        self._names.add(name)
        self._by_alias.update(dict.fromkeys(full, name))

    def has(self, name: str) -> bool:
        """Whether a task of this name was declared."""
        return name in self._names


def owner_of(alias: str, everyone: Iterable[Declared]) -> str | None:
    """The name of the task that has this alias, on whichever TaskQueue."""
    return next((owner for each in everyone if (owner := each.owner(alias)) is not None), None)


def _full(name: str, aliases: Iterable[str]) -> list[str]:
    """The aliases with their modules: a bare one means the module of the task."""
    if isinstance(aliases, str):
        raise OptionRefused(f"aliases={aliases!r}: give a list, aliases=[{aliases!r}]")
    module = name.partition(":")[0]
    return [_checked(f"{module}:{alias}" if _is_dotted(alias) else alias, name) for alias in aliases]


def _checked(alias: object, name: str) -> str:
    module, _, qualname = str(alias).partition(":")
    if not isinstance(alias, str) or not _is_dotted(module) or not _is_dotted(qualname):
        raise OptionRefused(
            f"aliases=[{alias!r}] of {name}: give former names, 'function' or 'package.module:function'"
        )
    if alias == name:
        raise OptionRefused(f"aliases=[{alias!r}]: that is the name of the task itself; leave it out")
    return alias


def _is_dotted(text: object) -> bool:
    return isinstance(text, str) and all(step.isidentifier() for step in text.split("."))


def _require_free_name(name: str, everyone: Collection[Declared]) -> None:
    owner = owner_of(name, everyone)
    if owner is not None:
        raise OptionRefused(
            f"{name} is declared as a task, and is an alias of {owner} too: its jobs can mean one of the two only; "
            "take the alias away, or call the function something else"
        )


def _require_free_alias(name: str, alias: str, everyone: Collection[Declared]) -> None:
    owner = owner_of(alias, everyone)
    if owner not in (None, name):
        raise OptionRefused(
            f"{alias} is an alias of {owner} and of {name}: its jobs can mean one of the two only; take one away"
        )
    if any(each.has(alias) for each in everyone) or _is_another_function(alias, name):
        raise OptionRefused(
            f"aliases=[{alias!r}] of {name}: {alias} is the name of another task, and its jobs run that one; "
            "take the alias away, or the other function"
        )


def _is_another_function(alias: str, name: str) -> bool:
    """Any function is a task, also one without a decorator. One that is defined further down is not there yet."""
    found = names.loaded(alias)
    if not callable(found):
        return False
    try:
        return names.told_name(found) != name
    except names.NotImportable:
        return True
