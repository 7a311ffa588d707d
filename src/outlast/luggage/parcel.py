"""One value as JSON and back, equal in kind and content, or a Refusal. Calls are for `outlast.luggage`.

JSON's own kinds are written as they are, everything else as an object whose one key is "$":

    {"$": ["datetime", "2026-01-01T12:00:00+00:00"]}
    {"$": ["model", "shop.orders:Order", 2774083019, {"id": 7, "paid": true}]}

`kinds` and `instances` know the kinds. What needed a "$" is read again at once and written a second time, and refused
unless both texts are the same. Only what fits no kind is shown to Pydantic and the annotation.
"""

from __future__ import annotations

import json
import json.encoder
import re
from collections.abc import Callable, Iterable
from functools import partial
from itertools import repeat
from typing import Any, NamedTuple, Protocol

from outlast.luggage import instances
from outlast.luggage.instances import Resolve
from outlast.luggage.kinds import MAKERS, Kind, has_json, is_unicode, kind_of
from outlast.luggage.refusal import Refusal, is_file
from outlast.names import NotImportable, reference

LIMIT = 1_048_576
"""Bytes that a call's arguments, or a result, may take as JSON, unless told otherwise."""

PLAIN: frozenset[type] = frozenset([str, int, float, bool, type(None)])
"""Kinds that JSON has itself, if not for every value."""

MAX_DEPTH = 64
"""Levels of one value inside another. Every level takes a few frames of the stack, which the caller's own share."""

Step = str | int | tuple[object]

_PLAIN_ALWAYS: frozenset[type] = frozenset([bool, type(None)])
_LONG = 80
_FILE = "file"
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
_CONVERT = "convert it to plain values, or to a dataclass or Pydantic model"


def _encoder() -> Callable[[Any], str]:
    """JSONEncoder.encode with its C half built once: it builds a new one for every text, which is half of its time."""
    whole = json.JSONEncoder(ensure_ascii=False, check_circular=False, allow_nan=False, separators=(",", ":"))
    build: Any = getattr(json.encoder, "c_make_encoder", None)
    quote = json.encoder.encode_basestring
    try:
        chunks = build(None, whole.default, quote, None, ":", ",", False, False, False)
        known = "".join(chunks([{"a": 1}, "é", None], 0)) == whole.encode([{"a": 1}, "é", None])
    except TypeError:  # another Python, which has none or takes other arguments
        known = False
    return (lambda packed: "".join(chunks(packed, 0))) if known else whole.encode


_encode = _encoder()


class Uncommon(Exception):
    """JSON text has no place for a plain value: NaN, infinity, a vast integer, a lone surrogate, a NUL."""


class TooLarge(Exception):
    """There are more values than the limit has bytes: known before all of them are written."""


class ByAnnotation(NamedTuple):
    """JSON text that only the annotation of its parameter can read."""

    text: str


class FileRef(NamedTuple):
    """A file as it is written: the name it is stored under (or what stands for it), and what else is known of it."""

    name: str
    filename: str | None
    headers: list[list[str]]
    size: int


class Stowing(Protocol):
    """What takes the files among the values, so that only what is told of them is written."""

    def stow(self, value: object) -> FileRef:
        """Take the content of a file. Raises Refusal for one that cannot be read again."""


def write(
    value: object,
    *,
    room: int = LIMIT,
    adapter: Callable[[], Any] | None = None,
    cargo: Stowing | None = None,
    files_of_bytes: bool = False,
) -> str:
    """`value` as JSON text.

    `adapter` gives the TypeAdapter of the annotation, or None; it is asked only about kinds that are unknown here.
    `cargo` takes the files in it, and with `files_of_bytes` also bytes; without one they are refused.
    Raises Refusal with the path to what was refused, and TooLarge when there are more values than `room`.
    """
    try:
        return _by_kind(value, room, cargo, files_of_bytes)
    except Refusal as refusal:
        text = None if refusal.final or adapter is None else _by_annotation(value, adapter())
        if text is None:
            raise
        return text


def has_files(text: str) -> bool:
    """Whether there may be files in what was written; there are none if not."""
    return '{"$":["file",' in text


def to_text(packed: Any) -> str:
    """The JSON text of what was packed, which any UTF-8 or JSON column takes. Raises Uncommon."""
    try:
        text = _encode(packed)
    except ValueError as error:
        raise Uncommon from error
    if not is_unicode(text) or ("\\u0000" in text and _NUL.search(text)):
        raise Uncommon
    return text


def reader(resolve: Resolve, open_file: Callable[[FileRef], Any] = lambda ref: ref) -> Callable[[str], Any]:
    """What reads JSON text that holds "$"; `resolve` finds classes and functions by their names."""

    def read(found: dict[str, Any]) -> Any:
        if "$" not in found:
            return found
        tag, *payload = found["$"]
        if tag in MAKERS:
            return MAKERS[tag](*payload)
        if tag == _FILE:
            return open_file(FileRef(*payload))
        return ByAnnotation(*payload) if tag == "@" else instances.read(resolve, tag, *payload)

    return json.JSONDecoder(object_hook=read).decode


def _by_kind(value: object, room: int, cargo: Stowing | None, files_of_bytes: bool) -> str:
    packer = partial(Packer, room=room, cargo=cargo, files_of_bytes=files_of_bytes)
    try:
        return to_text(value) if type(value) in PLAIN else _written(value, packer())
    except Uncommon:
        return _written(value, packer(careful=True))


def _written(value: object, packer: Packer) -> str:
    try:
        packed = packer.pack(value)
    except Refusal as refusal:
        refusal.path = packer.path
        raise
    except RecursionError as error:
        raise Refusal(
            "it is nested too deep for what is left of the stack", "flatten it", final=True
        ) from error
    text = to_text(packed)
    if packer.tagged:
        _check(text, packer)
    return text


def _check(text: str, packer: Packer) -> None:
    try:
        # By the classes just seen: of two copies of a module, the name could lead to the other one.
        read = reader(packer.named.__getitem__) if packer.named else _read_nameless
        again = Packer(careful=packer.careful).pack(read(text))
    except Exception as error:  # whatever a class of the user raises
        raise Refusal(f"it cannot be put together again ({error!r})", _CONVERT) from error
    if to_text(again) != text:
        raise Refusal("it would arrive changed", _CONVERT)


def _by_annotation(value: object, adapter: Any) -> str | None:
    """Pydantic's JSON of the value, if that comes back equal all the way down."""
    try:
        text = adapter.dump_json(value, by_alias=True, round_trip=True, warnings=False).decode()
        if _are_alike(value, adapter.validate_json(text)):
            return to_text({"$": ["@", text]})
    except Exception:  # whatever serializers and validators of the user raise, and adapter itself being None
        return None
    return None


def _are_alike(one: object, other: object) -> bool:
    """Whether both are written alike, and what cannot be written is equal in kind and value."""
    left, right = Packer(careful=True, strangers=[]), Packer(careful=True, strangers=[])
    if left.pack(one) != right.pack(other):
        return False
    pairs = zip(left.strangers or (), right.strangers or (), strict=True)
    return all(type(a) is type(b) and bool(a == b) for a, b in pairs)


_NAMELESS: dict[str, Any] = {}
_read_nameless = reader(_NAMELESS.__getitem__)


class Packer:
    """Writes one value, and remembers the way to where it is, what it named, and whether it needed a "$"."""

    def __init__(
        self,
        *,
        careful: bool = False,
        room: int = LIMIT,
        strangers: list[object] | None = None,
        cargo: Stowing | None = None,
        files_of_bytes: bool = False,
    ) -> None:
        self.careful = careful
        self.named: dict[str, object] = {}
        self.strangers = strangers
        self.tagged = False
        self._plain = _PLAIN_ALWAYS if careful else PLAIN
        self._room = room
        self._cargo = cargo
        self._files_of_bytes = files_of_bytes
        self._way: list[Step] = []
        self._owners: list[int] = []

    @property
    def path(self) -> str:
        """The way from the value to where packing stopped: `[3].owner`."""
        path = "".join(map(_shown, self._way))
        return path if len(path) < _LONG else f"{path[:_LONG]}…"

    def pack(self, value: Any) -> Any:
        if type(value) in self._plain or (type(value) in PLAIN and has_json(value)):
            return value
        depth = len(self._way)
        try:
            return self._write(value)
        except Refusal as refusal:
            if self.strangers is None or refusal.final:
                raise
            del self._way[depth:], self._owners[depth:]
            self.strangers.append(value)
            return self._tag("?")

    def fields(self, owner: object, values: dict[str, Any]) -> Any:
        if "$" in values:
            return self._pairs(values)
        packed = self._each(owner, (f".{name}" for name in values), values.values())
        return dict(zip(values, packed, strict=True))

    def name(self, named: Any) -> Any:
        if self.strangers is not None:
            return id(named)
        generic = getattr(named, "__pydantic_generic_metadata__", None)
        if generic and generic["origin"]:
            return [self.name(part) for part in (generic["origin"], *generic["args"])]
        try:
            ref = reference(named)
        except NotImportable as error:
            raise Refusal(error.reason, error.cure) from error
        self.named[ref] = named
        return ref

    def _write(self, value: Any) -> Any:
        kind = type(value)
        if kind is list:
            return self._each(value, range(len(value)), value)
        if kind is dict:
            return self._dict(value)
        if self._is_file(kind):
            value, kind = self._stowed(value), FileRef
        if kind is FileRef:
            return self._tag(_FILE, *map(self.pack, value))
        known = kind_of(kind)
        return self._tag(*(self._parts(known, value) if known else instances.write(self, value)))

    def _is_file(self, kind: type) -> bool:
        return self._cargo is not None and (is_file(kind) or (kind is bytes and self._files_of_bytes))

    def _stowed(self, value: object) -> FileRef:
        assert self._cargo is not None
        return self._cargo.stow(value)

    def _parts(self, kind: Kind, value: Any) -> list[Any]:
        steps = range(len(value)) if isinstance(value, tuple) else repeat("")
        parts = self._each(value, steps, kind.parts(value))
        # In one order, so that equal sets are written alike.
        return [kind.tag, *(sorted(parts, key=to_text) if isinstance(value, set | frozenset) else parts)]

    def _dict(self, value: dict[Any, Any]) -> Any:
        if "$" in value or not all(type(key) is str and (not self.careful or has_json(key)) for key in value):
            return self._pairs(value)
        return dict(zip(value, self._each(value, zip(value), value.values()), strict=True))

    def _pairs(self, value: dict[Any, Any]) -> Any:
        keys = self._each(value, (f".keys()[{number}]" for number in range(len(value))), value)
        values = self._each(value, zip(value), value.values())
        return self._tag("dict", *zip(keys, values, strict=True))

    def _tag(self, tag: str, *payload: Any) -> dict[str, list[Any]]:
        self.tagged = True
        return {"$": [tag, *payload]}

    def _each(self, owner: object, steps: Iterable[Step], values: Iterable[Any]) -> list[Any]:
        """Packs what `owner` holds; `steps` lead to each. Refuses what holds itself or lies too deep."""
        items = list(values)
        self._room -= len(items)
        if self._room < 0:
            raise TooLarge
        if self._plain.issuperset(map(type, items)):
            return items
        if id(owner) in self._owners:
            raise Refusal("it contains itself", "pass it without the cycle", final=True)
        if len(self._way) >= MAX_DEPTH:
            raise Refusal(f"it is nested deeper than {MAX_DEPTH} levels", "flatten it", final=True)
        self._owners.append(id(owner))
        packed = []
        for step, item in zip(steps, items, strict=False):
            self._way.append(step)
            packed.append(self.pack(item))
            self._way.pop()
        self._owners.pop()
        return packed


def _shown(step: Step) -> str:
    """An attribute, an index, or the key of a dict, in a tuple of its own."""
    if isinstance(step, str):
        return step
    try:
        return f"[{step[0]!r}]" if isinstance(step, tuple) else f"[{step}]"
    except Exception:  # a vast integer has no repr, and a class of the user may have a bad one
        return "[…]"
