"""The arguments of a call as JSON text and back, by the names of the function's parameters. Pure.

A call is one object, `{"to": "a@b.c", "body": "…"}`, whose keys are those of `binding`. Defaults are not carried: those
of the function apply when the job runs. How a single value is written is for `parcel`.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from functools import lru_cache, partial
from json.encoder import encode_basestring_ascii
from types import GenericAlias
from typing import Any

from outlast.errors import LuggageMisfit, LuggageRefused, LuggageTooLarge
from outlast.luggage import parcel
from outlast.luggage.binding import NOTHING, OLD_ROW, Binding, Call, Parameter, parameters_of
from outlast.luggage.parcel import LIMIT, PLAIN, ByAnnotation, FileRef, Stowing, TooLarge, Uncommon
from outlast.luggage.refusal import Refusal
from outlast.luggage.rows import cure_of_row
from outlast.names import resolve

_decode = json.JSONDecoder().decode
_read = parcel.reader(resolve)


def pack_value(value: object, where: str = "result", *, limit: int = LIMIT) -> str:
    """A single value as JSON text. `where` is what errors call it; `limit` is in bytes.

    Raises LuggageRefused for what could not arrive equal, and LuggageTooLarge.
    """
    try:
        text = parcel.write(value, room=limit)
    except Refusal as refusal:
        raise LuggageRefused(_refusal(where, refusal)) from None
    except TooLarge:
        raise LuggageTooLarge(_excess(where, None, limit)) from None
    if _is_over(limit, text):
        raise LuggageTooLarge(_excess(where, text, limit))
    return text


def unpack_value(text: str) -> Any:
    """The value that `pack_value` wrote. Raises LuggageMisfit if the code of today cannot read it."""
    try:
        return _read(text)
    except Exception as error:  # whatever the user's classes raise
        raise LuggageMisfit(f"a stored value cannot be read: {_told(error)}") from error


class Signature:
    """What a function takes, compiled once: `Signature.of(func)`.

    `depends` names the parameters that FastAPI's Depends fills in the worker: a caller leaves them out. `snapshots` has
    those that the request fills, if the caller does not.
    """

    def __init__(self, func: Callable[..., Any]) -> None:
        parameters = parameters_of(func)
        self.function: str = getattr(func, "__qualname__", type(func).__qualname__)
        self._is_async = inspect.iscoroutinefunction(func)
        self._binding = Binding(self.function, parameters)
        self.depends = self._binding.depends
        self.snapshots: dict[str, Any] = self._binding.snapshots
        self._parameters = {parameter.key: parameter for parameter in parameters}
        self._adapters: dict[str, Any] = {}
        self._uploads = {parameter.key for parameter in parameters if parameter.takes_uploads}

    @classmethod
    def of(cls, func: Callable[..., Any]) -> Signature:
        """The signature of `func`, compiled when it is first asked for."""
        try:
            hash(func)
        except TypeError:
            return cls(func)
        return _compiled(func)

    def pack(
        self,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        *,
        limit: int = LIMIT,
        cargo: Stowing | None = None,
    ) -> str:
        """The call as JSON text of at most `limit` bytes: a copy, which later changes of the arguments do not reach.

        Files go into `cargo`; without one they are refused. Raises LuggageRefused for a call that does not fit the
        function and for an argument that could not arrive equal, LuggageTooLarge for what is over the limit.
        """
        bound = self._binding.bind(args, kwargs)
        text = _plain_text(bound) or _joined(
            {key: self._write(key, value, limit, cargo) for key, value in bound.items()}
        )
        if _is_over(limit, text):
            raise self._too_large(bound, text, limit, cargo)
        return text

    def unsolved(self, text: str) -> dict[str, Any]:
        """The snapshots that a packed call does not carry yet, by their parameters."""
        return {name: self.snapshots[name] for name in self.snapshots.keys() - self._decoded(text).keys()}

    def complete(self, text: str, name: str, value: Any, *, limit: int = LIMIT) -> str:
        """A packed call with one argument more. Raises LuggageRefused, LuggageTooLarge."""
        bound = self._decoded(text)
        bound[name] = _decode(self._write(name, value, limit, None))
        shape = self._binding.shape(bound.keys() - {"@"})
        whole = parcel.to_text({**bound, "@": shape} if shape else bound)
        if _is_over(limit, whole):
            raise LuggageTooLarge(f"{self.function}() {_excess(name, whole, limit)}")
        return whole

    def unpack(self, text: str, open_file: Callable[[FileRef], Any] | None = None) -> Call:
        """What to call the function with: `args, kwargs`. `open_file` makes what arrives in place of a file.

        Raises LuggageMisfit if the row does not fit the function of today. Its annotations are asked only if they are
        others than when the call was packed: an argument that no annotation ever suited has been accepted as it is.
        """
        if '"$"' in text:
            read = _read if open_file is None else parcel.reader(resolve, open_file)
            return self._binding.fit(self._opened(text, read))
        bound = self._decoded(text)
        if self._has_changed(bound):
            self._ask_annotations(bound)
        return self._binding.fit(bound)

    def edited(self, text: str, *, limit: int = LIMIT) -> str:
        """A packed call that a person has changed, as it is to be stored: it fits the function as it is now.

        Files are not looked into. Raises LuggageRefused with what does not fit and the cure, LuggageTooLarge.
        """
        packed = self._by_a_person(text)
        try:
            values = {key: self._read(key, each, _read) for key, each in packed.items()}
            self._binding.fit(dict(values))
            for key, value in values.items():
                if isinstance(value, ByAnnotation):
                    self._validated(key, value, has_changed=False)
            self._ask_annotations(
                {key: each for key, each in values.items() if '"$"' not in json.dumps(packed[key])}
            )
        except LuggageMisfit as misfit:
            raise LuggageRefused(f"{misfit.what}; correct it, and send it again") from None
        shape = self._binding.shape(packed)
        whole = parcel.to_text({**packed, "@": shape} if shape else packed)
        if _is_over(limit, whole):
            raise LuggageTooLarge(f"{self.function}() {_excess('the arguments', whole, limit)}")
        return whole

    def _by_a_person(self, text: str) -> dict[str, Any]:
        try:
            packed = json.loads(text)
            parcel.to_text(packed)
        except json.JSONDecodeError as error:
            where = f"line {error.lineno}, column {error.colno}"
            raise LuggageRefused(f"this is not JSON: {error.msg} ({where}); correct it there") from None
        except (Uncommon, RecursionError):
            raise LuggageRefused(
                "this has a value that JSON has no place for (NaN, a NUL, …); leave it out"
            ) from None
        if not isinstance(packed, dict):
            raise LuggageRefused("the arguments are an object, a name and a value for each; put them in { }")
        packed.pop("@", None)
        self._binding.require_known(packed)
        return packed

    def _write(self, key: str, value: Any, limit: int, cargo: Stowing | None) -> str:
        label = self._label(key)
        try:
            return parcel.write(
                value,
                room=limit,
                adapter=partial(self._adapter, key),
                cargo=cargo,
                files_of_bytes=_of_parameter(key) in self._uploads,
            )
        except Refusal as refusal:
            if refusal.row is not None:
                refusal.cure = self._cure_of_row(refusal.row, label, refusal.path)
            raise LuggageRefused(f"{self.function}() {_refusal(label, refusal)}") from None
        except TooLarge:
            raise LuggageTooLarge(f"{self.function}() {_excess(label, None, limit)}") from None

    def _cure_of_row(self, row: type, label: str, path: str) -> str:
        return cure_of_row(row, label, path, self.function, is_async=self._is_async)

    def _label(self, key: str) -> str:
        """What a caller calls it."""
        return self._parameters["*"].name if key == "*" else key.removeprefix("**")

    def _adapter(self, key: str) -> Any:
        """Pydantic's adapter for the annotation of this parameter, or None."""
        key = _of_parameter(key)
        if key not in self._adapters:
            self._adapters[key] = _adapter_of(self._parameters.get(key), many=key == "*")
        return self._adapters[key]

    def _too_large(
        self, bound: dict[str, Any], text: str, limit: int, cargo: Stowing | None
    ) -> LuggageTooLarge:
        largest = max(bound, key=lambda key: len(self._write(key, bound[key], limit, cargo)))
        return LuggageTooLarge(f"{self.function}() {_excess(self._label(largest), text, limit)}")

    def _opened(self, text: str, read: Callable[[str], Any]) -> dict[str, Any]:
        try:
            bound: dict[str, Any] = read(text)
        except Exception:  # whatever the user's classes raise
            bound = {key: self._read(key, packed, read) for key, packed in self._decoded(text).items()}
        has_changed = self._has_changed(bound)
        for key, value in bound.items():
            if type(value) is ByAnnotation:
                bound[key] = self._validated(key, value, has_changed)
        if has_changed:
            self._ask_annotations(bound)
        return bound

    def _has_changed(self, bound: dict[str, Any]) -> bool:
        """Whether what is carried was annotated otherwise when it was packed. Takes the checksum out of `bound`."""
        shape = bound.pop("@", None)
        return shape is not None and shape != self._binding.shape(bound)

    def _decoded(self, text: str) -> dict[str, Any]:
        try:
            bound = _decode(text)
        except (ValueError, RecursionError) as error:
            raise LuggageMisfit(f"the stored arguments of {self.function}() are not JSON: {error}") from error
        if type(bound) is not dict:
            raise LuggageMisfit(
                f"the stored arguments of {self.function}() are not a JSON object: {text[:80]}"
            )
        return bound

    def _read(self, key: str, packed: Any, read: Callable[[str], Any]) -> Any:
        try:
            return read(json.dumps(packed))
        except Exception as error:
            raise self._misfit(key, _told(error)) from error

    def _validated(self, key: str, value: ByAnnotation, has_changed: bool) -> Any:
        adapter = None if has_changed else self._adapter(key)
        if adapter is None:
            raise self._misfit(
                key, "it was written by its annotation, and the annotations have changed since"
            )
        try:
            return adapter.validate_json(value.text)
        except Exception as error:
            raise self._misfit(key, _told(error)) from error

    def _ask_annotations(self, bound: dict[str, Any]) -> None:
        """They have changed since: does each value still suit? If so it arrives as it was passed, not coerced."""
        for key, value in bound.items():
            adapter = self._adapter(key)
            if adapter is not None:
                try:
                    adapter.validate_python(value)
                except Exception as error:  # also what validators of the user raise
                    raise self._misfit(key, _told(error)) from error

    def _misfit(self, key: str, why: str) -> LuggageMisfit:
        return LuggageMisfit(
            f"{self.function}() cannot take {self._label(key)!r} from this job: {why}", OLD_ROW
        )


_compiled = lru_cache(maxsize=4096)(Signature)


def _plain_text(bound: dict[str, Any]) -> str | None:
    """The whole call at once, where every argument is one of JSON's own kinds, as most are."""
    if not PLAIN.issuperset(map(type, bound.values())):
        return None
    try:
        return parcel.to_text(bound)
    except Uncommon:
        return None


def _joined(texts: dict[str, str]) -> str:
    return "{" + ",".join(f"{encode_basestring_ascii(key)}:{text}" for key, text in texts.items()) + "}"


def _is_over(limit: int, text: str) -> bool:
    # No character takes more than four bytes.
    return len(text) > limit // 4 and len(text.encode()) > limit


def _of_parameter(key: str) -> str:
    """All keywords that go into `**kwargs` have one annotation."""
    return "**" if key.startswith("**") else key


def _adapter_of(parameter: Parameter | None, *, many: bool) -> Any:
    if parameter is None or parameter.annotation is NOTHING:
        return None
    from pydantic import TypeAdapter

    annotation: Any = GenericAlias(list, parameter.annotation) if many else parameter.annotation
    try:
        return TypeAdapter(annotation)
    except Exception:  # Pydantic has no schema for it, or a class of the user fails to give one
        return None


def _refusal(label: str, refusal: Refusal) -> str:
    return f"cannot carry {label}{refusal.path}: {refusal.what}; {refusal.cure}"


def _excess(label: str, text: str | None, limit: int) -> str:
    size = f"{len(text.encode()):,}" if text else f"more than {limit:,}"
    return (
        f"would have to carry {size} bytes of JSON, most of it in {label}, and {limit:,} are allowed; "
        "save the data and pass its path or key, raise the limit, or give TaskQueue(files=…) a place where it goes then"
    )


def _told(error: Exception) -> str:
    """One line on what went wrong. Pydantic's own text is many, with links."""
    details = getattr(error, "errors", None)
    if callable(details):
        return "; ".join(": ".join([*_place(one), one["msg"]]) for one in details())
    return f"{type(error).__name__}: {error}"


def _place(detail: Any) -> list[str]:
    """Where in the value it is; nothing where it is the value itself."""
    return [".".join(map(str, detail["loc"]))] if detail["loc"] else []
