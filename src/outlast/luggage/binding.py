"""What a function takes, and which argument goes to which parameter: from a call to keys, and back. Pure.

A key is the name of a parameter; "*" for all that goes into `*args`; "**" and its name for what goes into `**kwargs`.
Under "@" goes a checksum of the annotations of what is carried, which tells whether they have changed since.
Nothing of FastAPI is imported: its Depends is told by its name.
"""

from __future__ import annotations

import builtins
import inspect
import sys
import typing
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from outlast.errors import LuggageMisfit, LuggageRefused
from outlast.luggage.instances import shape_of

NOTHING: Any = inspect.Parameter.empty
"""Stands for a default or an annotation that is not there, as None may be one."""

_KEYS: dict[inspect._ParameterKind, str] = {
    inspect.Parameter.VAR_POSITIONAL: "*",
    inspect.Parameter.VAR_KEYWORD: "**",
}


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter. `depends`: FastAPI's Depends fills it, in the worker. `snapshot`: its request does."""

    name: str
    kind: inspect._ParameterKind
    default: Any = NOTHING
    annotation: Any = NOTHING
    depends: bool = False
    snapshot: Any = None

    @property
    def declared(self) -> inspect.Parameter:
        """As a function's signature has it."""
        return inspect.Parameter(self.name, self.kind, default=self.default, annotation=self.annotation)

    @property
    def key(self) -> str:
        """What its arguments are written under."""
        return _KEYS.get(self.kind, self.name)

    @property
    def by_position(self) -> bool:
        """Whether it has a place of its own among the positional arguments."""
        return self.kind in (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)

    @property
    def by_name(self) -> bool:
        """Whether it may be given by its name."""
        return self.kind in (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)

    @property
    def required(self) -> bool:
        """Whether a caller must give it."""
        has_default = self.default is not NOTHING and self.snapshot is None
        return (self.by_position or self.by_name) and not has_default and not self.depends

    @property
    def takes_uploads(self) -> bool:
        """Whether UploadFile stands in its annotation, and bytes do not: bytes then arrive as one."""
        kinds = list(_kinds_in(self.annotation))
        return bytes not in kinds and any(map(_is_upload, kinds))


def parameters_of(func: Callable[..., Any]) -> list[Parameter]:
    """The parameters of `func` in order. Of a function that does not tell them, anything may be asked."""
    try:
        declared = _signature(func).parameters.values()
    except (TypeError, ValueError):
        return [
            Parameter("args", inspect.Parameter.VAR_POSITIONAL),
            Parameter("kwargs", inspect.Parameter.VAR_KEYWORD),
        ]
    hints = _hints(func)
    return [_parameter(parameter, hints.get(parameter.name, parameter.annotation)) for parameter in declared]


if sys.version_info >= (3, 14):
    from annotationlib import Format

    def _signature(func: Callable[..., Any]) -> inspect.Signature:
        return inspect.signature(func, annotation_format=Format.FORWARDREF)
else:
    _signature = inspect.signature


def _hints(func: Callable[..., Any]) -> dict[str, Any]:
    """The annotations, strings resolved. A name that exists for type checkers only becomes Any."""
    if not inspect.isroutine(func):
        return {}
    names = getattr(inspect.unwrap(func), "__globals__", {})
    try:
        return typing.get_type_hints(func, localns=_Lenient(vars(builtins) | names), include_extras=True)
    except Exception:  # whatever evaluating a string may raise
        return {}


def has_its_hints(func: Callable[..., Any]) -> bool:
    """Whether every name in the annotations of `func` is there by now."""
    try:
        typing.get_type_hints(func, include_extras=True)
    except Exception:  # whatever evaluating a string may raise
        return False
    return True


class _Lenient(dict[str, Any]):
    """Names for evaluating annotations; an unknown one is Any."""

    def __missing__(self, name: str) -> Any:
        return Any


def _parameter(declared: inspect.Parameter, annotation: Any) -> Parameter:
    if isinstance(annotation, str):  # it could not be resolved
        annotation = NOTHING
    markers = (declared.default, *getattr(_plain(annotation), "__metadata__", ()))
    marker = next(filter(_is_depends, markers), None)
    call = getattr(marker, "dependency", None)
    snapshot = call.of(marker) if call is not None and hasattr(call, "is_snapshot") else None
    depends = marker is not None and snapshot is None
    return Parameter(declared.name, declared.kind, declared.default, annotation, depends, snapshot)


def _plain(annotation: Any) -> Any:
    """What a `type X = …` stands for."""
    while type(annotation).__name__ == "TypeAliasType":
        annotation = annotation.__value__
    return annotation


def _is_depends(marker: object) -> bool:
    return any(
        cls.__module__ == "fastapi.params" and cls.__name__ == "Depends" for cls in type(marker).__mro__
    )


def _kinds_in(annotation: Any) -> Iterator[Any]:
    """The classes that an annotation is made of: of `list[UploadFile] | None` all three."""
    annotation = _plain(annotation)
    yield annotation
    for part in typing.get_args(annotation):
        yield from _kinds_in(part)


def _is_upload(kind: object) -> bool:
    mro = kind.__mro__ if isinstance(kind, type) else ()
    return any(cls.__module__ == "starlette.datastructures" and cls.__name__ == "UploadFile" for cls in mro)


Call = tuple[tuple[Any, ...], dict[str, Any]]
"""The arguments and the keyword arguments of a call."""

OLD_ROW = "run this job with the code that it was enqueued by, or cancel it"
"""What to do about a row that no longer fits."""


class Binding:
    """Binds calls of one function. `depends` names the parameters that Depends fills: a caller leaves them out."""

    def __init__(self, function: str, parameters: list[Parameter]) -> None:
        self.depends = frozenset(parameter.name for parameter in parameters if parameter.depends)
        self._function = function
        self._by_key = {parameter.key: parameter for parameter in parameters}
        self._positions = [parameter.name for parameter in parameters if parameter.by_position]
        self._names = frozenset(parameter.name for parameter in parameters if parameter.by_name)
        self._required = frozenset(parameter.name for parameter in parameters if parameter.required)
        self._open_names = self._names - self.depends
        self.snapshots = {
            parameter.name: parameter.snapshot for parameter in parameters if parameter.snapshot is not None
        }
        self._shapes = {"**": 0} | {parameter.key: _shape(parameter) for parameter in parameters}
        # What a call of one form, so many by position and these by name, was found to be bound to.
        self._known_forms: dict[tuple[object, ...], tuple[tuple[str, ...], int]] = {}

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """The arguments by their keys. Raises LuggageRefused if the function cannot be called so."""
        form = (len(args), *kwargs)
        known = self._known_forms.get(form)
        if known is not None:
            keys, shape = known
            return dict(zip(keys, (*args, *kwargs.values(), shape), strict=False))
        bound = self._checked(args, kwargs)
        is_named = "*" not in bound and self._by_key.keys() >= bound.keys()
        shape = self.shape(bound)
        if shape:
            bound["@"] = shape
        if is_named:
            self._known_forms[form] = (tuple(bound), shape)
        return bound

    def shape(self, keys: Iterable[str]) -> int:
        """A checksum of the annotations under these keys, 0 if there are none."""
        return sum(self._shapes.get(key, self._shapes["**"]) for key in keys)

    def require_known(self, keys: Iterable[str]) -> None:
        """Raise LuggageRefused for a name that is no parameter."""
        for key in keys:
            name = key.removeprefix("**")
            if key not in self._by_key and "**" not in self._by_key:
                raise self._unknown(name)

    def _unknown(self, name: str) -> LuggageRefused:
        close = get_close_matches(name, self._open_names, n=1)
        cure = f"did you mean {close[0]!r}?" if close else "options of a call go through .options(…)"
        return LuggageRefused(f"{self._function}() has no parameter {name!r}; {cure}")

    def fit(self, bound: dict[str, Any]) -> Call:
        """The call of today's function that stored arguments make. Raises LuggageMisfit if there is none."""
        if self._open_names.issuperset(bound) and bound.keys() >= self._required:
            return (), bound
        surplus = bound.pop("*", [])
        named = self._named_today(bound)
        missing = self._required - named.keys()
        if missing:
            raise self._misfit(
                f"needs {_listed(missing)} now, which this job does not carry", "give it a default, or "
            )
        if surplus and "*" not in self._by_key:
            raise self._misfit(f"takes no *args any more, and this job carries {len(surplus)}", "")
        return self._by_position(named, surplus), {
            name.removeprefix("**"): value for name, value in named.items()
        }

    def _checked(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        bound = dict(zip(self._positions, args, strict=False))
        if len(args) > len(bound):
            bound["*"] = self._surplus(args)
        for name, value in kwargs.items():
            bound[self._key_of_keyword(name, bound)] = value
        missing = self._required - bound.keys() - self.snapshots.keys()
        if missing:
            raise LuggageRefused(
                f"{self._function}() misses {_listed(missing)}; pass it, or give it a default"
            )
        given = self.depends & bound.keys()
        if given:
            raise LuggageRefused(
                f"{self._function}() gets {_listed(given)} from Depends, in the worker; leave it out of the call"
            )
        return bound

    def _surplus(self, args: tuple[Any, ...]) -> list[Any]:
        if "*" not in self._by_key:
            count = len(self._positions)
            raise LuggageRefused(
                f"{self._function}() takes {count} positional argument{'s' * (count != 1)} "
                f"({_listed(self._positions) or 'none'}), and {len(args)} were passed"
            )
        return list(args[len(self._positions) :])

    def _key_of_keyword(self, name: str, bound: dict[str, Any]) -> str:
        if name in self._names:
            if name in bound:
                raise LuggageRefused(
                    f"{self._function}() got {name!r} twice, by its position and by its name"
                )
            return name
        if "**" in self._by_key:
            return f"**{name}"
        if name in self._by_key:
            raise LuggageRefused(
                f"{self._function}() takes {name!r} by its position only; pass it without its name"
            )
        raise self._unknown(name)

    def _named_today(self, bound: dict[str, Any]) -> dict[str, Any]:
        """A parameter may have become a keyword of `**kwargs` since, or the other way round."""
        named: dict[str, Any] = {}
        for key, value in bound.items():
            name = key.removeprefix("**")
            if name in self.depends:
                raise self._misfit(f"gets {name!r} from Depends now, and this job carries a value for it", "")
            is_known = name in self._open_names or (name == key and name in self._positions)
            if not is_known and "**" not in self._by_key:
                raise self._misfit(f"has no parameter {name!r} any more, and this job carries one", "")
            key_today = name if is_known else f"**{name}"
            if key_today in named:
                raise self._misfit(f"takes {name!r} once now, and this job carries two", "")
            named[key_today] = value
        return named

    def _by_position(self, named: dict[str, Any], surplus: list[Any]) -> tuple[Any, ...]:
        """Takes out of `named` what can only be passed by its position."""
        places = self._positions if surplus else [name for name in self._positions if name not in self._names]
        while places and not surplus and places[-1] not in named:
            places = places[:-1]
        return (*(self._in_its_place(name, named) for name in places), *surplus)

    def _in_its_place(self, name: str, named: dict[str, Any]) -> Any:
        value = named.pop(name, self._by_key[name].default)
        if value is NOTHING or name in self.depends:
            raise self._misfit(f"has {name!r} before its *args now, which this job does not carry", "")
        return value

    def _misfit(self, what: str, cure: str) -> LuggageMisfit:
        return LuggageMisfit(f"{self._function}() {what}", cure + OLD_ROW)


def _shape(parameter: Parameter) -> int:
    return 0 if parameter.annotation is NOTHING else shape_of([(parameter.key, parameter.annotation)])


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(repr, names))
