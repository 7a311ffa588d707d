"""Instances of the user's own classes, and functions and classes themselves: how they are written and read. Pure.

Models and dataclasses are carried by their fields and put together again without running their constructors or
validators: the object has been made once, and a field that must lie in the future would refuse its own job when the
time has come. Where the shape of a class has changed since, today's class makes, and may refuse, the new object.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable
from dataclasses import fields as fields_of
from dataclasses import is_dataclass
from enum import Enum, Flag
from functools import cached_property, lru_cache
from types import MemberDescriptorType
from typing import Any, NamedTuple, Protocol
from uuid import UUID
from zlib import crc32

from outlast.luggage.refusal import refuse_live, stranger
from outlast.names import import_name


class Packing(Protocol):
    """What a writer asks of the Packer that called it."""

    def pack(self, value: Any) -> Any:
        """A value inside this one, written."""

    def fields(self, owner: object, values: dict[str, Any]) -> Any:
        """Attributes of `owner`, written."""

    def name(self, named: object) -> Any:
        """The name of a class or function, which `Resolve` leads back to it."""


class Outgrown(Exception):
    """What was written no longer fits the class of today: the message says why."""


class Nature(NamedTuple):
    """What classes of one sort have in common: whether a class `fits`, and how its instances are written and read."""

    fits: Callable[[type], bool]
    write: Callable[[Packing, Any], list[Any]]
    read: Callable[..., Any]


Resolve = Callable[[str], Any]


def write(packing: Packing, value: object) -> list[Any]:
    """Tag, name of the class, and what `read` takes. Raises Refusal where there is no way to carry `value`."""
    kind: type = type(value)
    tag = _nature_of(kind)
    if tag is not None:
        return [tag, packing.name(kind), *_NATURES[tag].write(packing, value)]
    if hasattr(value, "__qualname__"):
        return ["name", packing.name(value)]
    raise stranger(kind)


def read(resolve: Resolve, tag: str, name: Any, *payload: Any) -> Any:
    """The value of what `write` wrote. Raises Outgrown, or whatever the class of today raises."""
    named = _resolved(resolve, name)
    if tag == "name":
        return named
    nature = _NATURES.get(tag)
    if nature is None:
        raise Outgrown(f"values of kind {tag!r} are unknown to this version of Outlast")
    if not (isinstance(named, type) and nature.fits(named)):
        raise Outgrown(f"{name} was a class of kind {tag!r} and is none any more")
    return nature.read(named, *payload)


@lru_cache(maxsize=4096)
def _nature_of(kind: type) -> str | None:
    refuse_live(kind)
    return next((tag for tag, nature in _NATURES.items() if nature.fits(kind)), None)


def _resolved(resolve: Resolve, name: Any) -> Any:
    """A generic model is named by a list: the model, and its parameters."""
    if isinstance(name, str):
        return resolve(name)
    origin, *parameters = (_resolved(resolve, part) for part in name)
    return origin[tuple(parameters)]


def _is_enum(kind: type) -> bool:
    return issubclass(kind, Enum)


def _write_enum(packing: Packing, value: Enum) -> list[Any]:
    return [value._name_]


def _read_enum(kind: type[Enum], name: str) -> Enum:
    if name not in kind.__members__:
        raise Outgrown(f"{kind.__qualname__} has no member {name} any more")
    return kind[name]


def _is_flag(kind: type) -> bool:
    return issubclass(kind, Flag)


def _write_flag(packing: Packing, value: Flag) -> list[Any]:
    return [value._value_]


def _read_flag(kind: type[Flag], bits: int) -> Flag:
    return kind(bits)


def _is_named_tuple(kind: type) -> bool:
    return issubclass(kind, tuple) and hasattr(kind, "_fields")


def _write_named_tuple(packing: Packing, value: Any) -> list[Any]:
    return [packing.fields(value, dict(zip(value._fields, value, strict=True))), *_attributes(packing, value)]


def _read_named_tuple(kind: Any, fields: dict[str, Any], attributes: dict[str, Any] | None = None) -> Any:
    return _with_state(kind(**fields), attributes)


_PLAINER: dict[type, Callable[[Any], Any]] = {
    str: str.__str__,
    int: int.__int__,
    float: float.__float__,
    bytes: lambda value: bytes(memoryview(value)),
    bytearray: lambda value: bytearray(memoryview(value)),
    list: list.copy,
    dict: dict,
    set: set().union,
    frozenset: frozenset().union,
}


def _is_subclass(kind: type) -> bool:
    return issubclass(kind, tuple(_PLAINER))


def _write_subclass(packing: Packing, value: Any) -> list[Any]:
    plainer = next(plainer for base, plainer in _PLAINER.items() if isinstance(value, base))
    return [packing.pack(plainer(value)), *_attributes(packing, value)]


def _read_subclass(kind: type, plain: object, attributes: dict[str, Any] | None = None) -> Any:
    return _with_state(kind(plain), attributes)


def _is_spelled(kind: type) -> bool:
    """Whether the class reads what str() says of its instances. asyncpg, for one, has a UUID of its own."""
    return kind.__module__ in _SPELLED or issubclass(kind, UUID)


_SPELLED = frozenset(["ipaddress", "fractions", "pydantic.networks", "pydantic_core._pydantic_core"])


def _write_spelled(packing: Packing, value: object) -> list[Any]:
    return [packing.pack(str(value))]


def _read_spelled(kind: type, text: str) -> Any:
    return kind(text)


def _write_dataclass(packing: Packing, value: object) -> list[Any]:
    kind: type = type(value)
    return [_shape_of(kind), packing.fields(value, _state_of(value))]


def _read_dataclass(kind: Any, shape: int, state: dict[str, Any]) -> Any:
    if shape == _shape_of(kind):
        return _with_state(object.__new__(kind), state)
    _refuse_unknown(kind, state.keys() - {field.name for field in fields_of(kind)})
    return kind(
        **{field.name: state[field.name] for field in fields_of(kind) if field.init and field.name in state}
    )


def _is_model(kind: type) -> bool:
    pydantic = sys.modules.get("pydantic")
    return pydantic is not None and issubclass(kind, pydantic.BaseModel)


def _write_model(packing: Packing, value: Any) -> list[Any]:
    """Shape, fields, and what there is beyond them: which were set (None: all), extra fields, private attributes."""
    kind: type = type(value)
    fields, were_set = _attributes_of(value), value.model_fields_set
    payload = [
        _shape_of(kind),
        packing.fields(value, fields),
        None if were_set == fields.keys() else sorted(were_set),
        _fields_or_none(packing, value, value.__pydantic_extra__),
        _fields_or_none(packing, value, value.__pydantic_private__),
    ]
    while payload[-1] is None:
        payload.pop()
    return payload


def _fields_or_none(packing: Packing, owner: object, values: dict[str, Any] | None) -> Any:
    return None if values is None else packing.fields(owner, values)


def _read_model(kind: Any, shape: int, fields: dict[str, Any], *beyond: Any) -> Any:
    were_set, extra, private = (*beyond, None, None, None)[:3]
    if shape != _shape_of(kind):
        return _validated(kind, {**fields, **(extra or {})}, were_set, private or {})
    state = {
        "__dict__": fields,
        "__pydantic_fields_set__": set(fields if were_set is None else were_set),
        "__pydantic_extra__": extra,
        "__pydantic_private__": private,
    }
    model = kind.__new__(kind)
    sys.modules["pydantic"].BaseModel.__setstate__(model, state)
    return model


def _validated(kind: Any, fields: dict[str, Any], were_set: list[str] | None, private: dict[str, Any]) -> Any:
    if kind.model_config.get("extra") != "allow":
        _refuse_unknown(kind, fields.keys() - kind.model_fields.keys())
    if kind.__pydantic_root_model__:
        return kind.model_validate(fields["root"])
    model = kind.model_validate({_alias(kind, name): value for name, value in fields.items()})
    if were_set is not None:
        model.__pydantic_fields_set__.intersection_update(were_set)
    for name, value in private.items():
        setattr(model, name, value)
    return model


def _alias(kind: Any, name: str) -> str:
    """What validation calls the field."""
    field = kind.model_fields.get(name)
    alias = getattr(field, "validation_alias", None) or name
    return alias if isinstance(alias, str) else str(alias.choices[0])


def _refuse_unknown(kind: type, unknown: set[str]) -> None:
    if unknown:
        raise Outgrown(f"{kind.__qualname__} has no field {', '.join(sorted(unknown))} any more")


@lru_cache(maxsize=4096)
def _shape_of(kind: Any) -> int:
    if _is_model(kind):
        return shape_of((name, field.annotation) for name, field in kind.model_fields.items())
    return shape_of((field.name, field.type) for field in fields_of(kind))


def shape_of(annotated: Iterable[tuple[str, Any]]) -> int:
    """A checksum of names and their annotations, the same in every process that runs the same code."""
    text = re.sub(r" at 0x[0-9a-fA-F]+", "", repr([*annotated]))
    return crc32(re.sub(r"\b__(mp_)?main__\b", import_name("__main__"), text).encode())


def _attributes(packing: Packing, value: object) -> list[Any]:
    """What a subclass holds beyond the value itself, if anything."""
    state = _state_of(value)
    return [packing.fields(value, state)] if state else []


def _state_of(value: object) -> dict[str, Any]:
    kind: type = type(value)
    slots = {name: getattr(value, name) for name in _slots_of(kind) if hasattr(value, name)}
    return slots | _attributes_of(value)


def _attributes_of(value: object) -> dict[str, Any]:
    kind: type = type(value)
    attributes: dict[str, Any] = getattr(value, "__dict__", {})
    left_out = _left_out(kind)
    return {name: item for name, item in attributes.items() if name not in left_out}


@lru_cache(maxsize=4096)
def _left_out(kind: type) -> frozenset[str]:
    """What is computed from the rest on demand, and what `typing` notes on instances of generics."""
    members = (item for cls in kind.__mro__ for item in vars(cls).items())
    return frozenset(
        ["__orig_class__", *(name for name, item in members if isinstance(item, cached_property))]
    )


@lru_cache(maxsize=4096)
def _slots_of(kind: type) -> tuple[str, ...]:
    members = (item for cls in reversed(kind.__mro__) for item in vars(cls).items())
    return tuple(name for name, item in members if isinstance(item, MemberDescriptorType))


def _with_state(value: Any, state: dict[str, Any] | None) -> Any:
    kind: type = type(value)
    slots = _slots_of(kind)
    for name, item in (state or {}).items():
        if name in slots:
            object.__setattr__(value, name, item)
        else:
            vars(value)[name] = item
    return value


# The first that fits is taken.
_NATURES = {
    "flag": Nature(_is_flag, _write_flag, _read_flag),
    "enum": Nature(_is_enum, _write_enum, _read_enum),
    "namedtuple": Nature(_is_named_tuple, _write_named_tuple, _read_named_tuple),
    "model": Nature(_is_model, _write_model, _read_model),
    "dataclass": Nature(is_dataclass, _write_dataclass, _read_dataclass),
    "of": Nature(_is_subclass, _write_subclass, _read_subclass),
    "text": Nature(_is_spelled, _write_spelled, _read_spelled),
}
