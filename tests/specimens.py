"""Values of every kind that a job carries, their classes, and an equality that looks at kinds all the way down.

Kept apart from the tests so that a second process can build the same values and compare.
"""

from __future__ import annotations

import ipaddress
import math
from collections import Counter, OrderedDict, namedtuple
from collections.abc import Callable
from dataclasses import KW_ONLY, InitVar, dataclass, field, is_dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, Flag, IntEnum, IntFlag, StrEnum
from fractions import Fraction
from functools import cached_property
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, Generic, NamedTuple, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    FutureDatetime,
    HttpUrl,
    PrivateAttr,
    RootModel,
    TypeAdapter,
    computed_field,
    field_validator,
)
from pydantic.dataclasses import dataclass as pydantic_dataclass
from sqlmodel import SQLModel

T = TypeVar("T")


class Colour(Enum):
    RED = 1
    GREEN = "g"
    CRIMSON = RED


class Plan(StrEnum):
    FREE = "free"
    PAID = "paid"


class Level(IntEnum):
    LOW = 1
    HIGH = 2


class Right(Flag):
    READ = 1
    WRITE = 2
    OWN = 4


class Mode(IntFlag):
    R = 4
    W = 2


class Point(NamedTuple):
    x: int
    y: Any = 0


OldPoint = namedtuple("OldPoint", "x y")


@dataclass
class Item:
    name: str
    owner: Any = None


@dataclass(frozen=True, slots=True)
class Frozen:
    name: str
    tags: tuple[Any, ...] = ()


@dataclass
class Base:
    id: int


@dataclass
class Derived(Base):
    extra: str = "e"


@dataclass
class Doubled:
    """Has a field that the constructor does not take, and an attribute that is no field."""

    once: int
    twice: int = field(init=False)

    def __post_init__(self) -> None:
        self.twice = 2 * self.once
        self.note = "made"


@dataclass
class Counted:
    """Its constructor changes what it is given, so that a second construction would show."""

    runs: int
    seed: InitVar[int] = 0
    _: KW_ONLY
    label: str = ""

    def __post_init__(self, seed: int) -> None:
        self.runs += 1

    @cached_property
    def squared(self) -> int:
        return self.runs**2


@dataclass
class Box(Generic[T]):
    content: T


@pydantic_dataclass
class Checked:
    day: date


class User(BaseModel):
    id: int
    name: str = "anonymous"
    tags: list[str] = []


class Admin(User):
    level: Level = Level.HIGH


class Aliased(BaseModel):
    first_name: str = Field(alias="firstName")


class Square(BaseModel):
    side: int

    @computed_field
    @property
    def area(self) -> int:
        return self.side**2

    @cached_property
    def perimeter(self) -> int:
        return self.side * 4


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")
    id: int


class Private(BaseModel):
    id: int
    _token: Any = PrivateAttr(default=None)


class Reminder(BaseModel):
    at: FutureDatetime


class Hashed(BaseModel):
    """Its validator takes only what it has not hashed yet."""

    password: str

    @field_validator("password")
    @classmethod
    def _hash(cls, password: str) -> str:
        assert not password.startswith("#")
        return f"#{password[::-1]}"


class Strict(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True)
    at: AwareDatetime


class Page(BaseModel, Generic[T]):
    items: list[T]
    total: int = 0


class Numbers(RootModel[list[int]]):
    pass


class Link(BaseModel):
    url: HttpUrl


class HeroForm(SQLModel):
    """Of SQLModel, but no table: a model like any other."""

    name: str
    age: int | None = None


class Slug(str):
    pass


class Stack(list[Any]):
    pass


class Mailer:
    @classmethod
    def create(cls) -> Mailer:
        return cls()

    @staticmethod
    def ping() -> None:
        pass

    def send(self) -> None:
        pass


def top_level() -> None:
    pass


def arrives(name: str, value: Any) -> bool:
    """A task: whether what has arrived is what that specimen is here."""
    return same(value, specimens()[name])


def specimens() -> dict[str, Any]:
    """A value of every kind that must arrive equal, made anew at each call."""
    squared = Counted(3, label="x")
    assert squared.squared == 16
    labelled = Slug("with-attribute")
    labelled.note = "kept"  # type: ignore[attr-defined]
    square = Square(side=2)
    assert square.perimeter == 8
    private = Private(id=1)
    private._token = ("t", 1)
    berlin = ZoneInfo("Europe/Berlin")
    return {
        "nothing": None,
        "true": True,
        "text": "héllo 中文 \U0001f600",
        "empty text": "",
        "text like a date": "2026-01-01",
        "text with NUL": "a\0b",
        "text that spells NUL": "\\u0000 \\\\u0000",
        "text with a lone surrogate": "a\ud800b",
        "integer": -7,
        "vast integer": 10**5000,
        "float": 0.1,
        "whole float": 1.0,
        "minus zero": -0.0,
        "infinity": -math.inf,
        "not a number": math.nan,
        "complex": complex(-0.0, math.nan),
        "list": [1, "a", None, [True, 1.0, 1]],
        "dict": {"b": 1, "a": {"c": []}},
        "dict with the reserved key": {"$": ["datetime", "2026-01-01"]},
        "dict with other keys": {1: "a", None: "b", (1, 2): "c", "d": True, Plan.FREE: 0, "$": 1},
        "tuple": (1, [2, (3,)], ()),
        "set": {1, "a", (2, 3)},
        "empty set": set(),
        "frozenset": frozenset({frozenset({1}), 2.5}),
        "range": range(5, 0, -2),
        "slice": slice(1, None, 2),
        "bytes": b"\x00\xff",
        "bytearray": bytearray(b"abc"),
        "datetime, naive": datetime(2026, 1, 2, 3, 4, 5, 6),  # noqa: DTZ001
        "datetime, UTC": datetime(2026, 1, 2, 3, 4, tzinfo=UTC),
        "datetime, offset": datetime(2026, 1, 2, tzinfo=timezone(timedelta(hours=-3, microseconds=7))),
        "datetime, named offset": datetime(2026, 1, 2, tzinfo=timezone(timedelta(hours=1), "CET")),
        "datetime, zone, first of two": datetime(2026, 10, 25, 2, 30, tzinfo=berlin),
        "datetime, zone, second of two": datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=berlin),
        "datetime from Pydantic": TypeAdapter(datetime).validate_python("2026-01-02T03:04:05+02:00"),
        "date": date(1, 1, 1),
        "time": time(1, 2, 3, fold=1),
        "time, aware": time(1, 2, tzinfo=UTC),
        "timedelta": timedelta(days=-1, microseconds=1),
        "zone": berlin,
        "offset": timezone(timedelta(hours=2)),
        "UUID": UUID(int=7),
        "decimal": Decimal("-0.00"),
        "decimal, not a number": Decimal("NaN"),
        "path": Path("a/b.txt"),
        "Windows path": PureWindowsPath("C:\\x"),
        "pure path": PurePosixPath("/x"),
        "IP address": ipaddress.ip_address("::1"),
        "fraction": Fraction(1, 3),
        "enum": Colour.GREEN,
        "enum, alias": Colour.CRIMSON,
        "enum of text": Plan.PAID,
        "enum of integers": Level.LOW,
        "flag": Right.READ | Right.OWN,
        "no flag": Right(0),
        "flag of integers": Mode.R | Mode(64),
        "named tuple": Point(1, (2,)),
        "named tuple, untyped": OldPoint(1, 2),
        "dataclass": Item("a", {"b": date(2026, 1, 1)}),
        "dataclass, frozen, slots": Frozen("a", (1, Item("b"))),
        "dataclass, derived": Derived(1),
        "dataclass with more than fields": Doubled(2),
        "dataclass, not constructed twice": squared,
        "dataclass, generic": Box[int](5),
        "dataclass of Pydantic": Checked(date(2026, 1, 1)),
        "model": User(id=1, name="a", tags=["x"]),
        "model, partly set": User(id=1),
        "model, subclass": Admin(id=1),
        "model, aliased": Aliased(firstName="a"),
        "model, computed": square,
        "model, extra fields": Open(id=1, more=(1, 2), **{"$": 3}),
        "model, private attribute": private,
        "model, validator not run twice": Hashed(password="secret"),
        "model, time-bound validator": Reminder.model_construct(at=datetime(2020, 1, 1, tzinfo=UTC)),
        "model, not valid": User.model_construct(id="none"),
        "model, strict": Strict(at=datetime(2026, 1, 1, tzinfo=UTC)),
        "model, generic": Page[int](items=[1]),
        "model, generic of generic": Page[Page[User]](items=[Page[User](items=[User(id=1)])]),
        "model, root": Numbers([1, 2]),
        "model with a URL": Link(url="https://example.com/a?b=c"),  # type: ignore[arg-type]
        "model of SQLModel, no table": HeroForm(name="Deadpond"),
        "subclass of str": labelled,
        "subclass of list": Stack([1, (2,)]),
        "ordered dict": OrderedDict([("b", 1), ("a", 2)]),
        "counter": Counter("aab"),
        "function": top_level,
        "built-in function": len,
        "class": Mailer,
        "class method": Mailer.create,
        "static method": Mailer.ping,
    }


def same(a: Any, b: Any) -> bool:
    """Whether `a` and `b` are equal and of one kind, and so is all that is in them."""
    if type(a) is not type(b):
        return False
    by_kind = next((compare for kind, compare in _COMPARE.items() if isinstance(a, kind)), None)
    if isinstance(a, Enum | type):
        return a is b
    if not (by_kind(a, b) if by_kind else is_dataclass(a) or a == b):
        return False
    return _same_attributes(a, b)


def _same_attributes(a: Any, b: Any) -> bool:
    if callable(a) or isinstance(a, UUID):
        return True
    names = [
        *getattr(a, "__dict__", {}),
        *(name for cls in type(a).__mro__ for name in getattr(cls, "__slots__", ())),
    ]
    cached = {name for name in names if isinstance(getattr(type(a), name, None), cached_property)}
    own = {*names} - cached - {"__orig_class__", "__dict__", "__weakref__"}
    if isinstance(a, BaseModel | Item | Base | Frozen | Doubled | Counted | Box | Checked | Slug | Stack):
        return all(same(getattr(a, name, None), getattr(b, name, None)) for name in own)
    return True


def _same_items(a: Any, b: Any) -> bool:
    return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))


def _same_dict(a: dict[Any, Any], b: dict[Any, Any]) -> bool:
    return _same_items([*a.items()], [*b.items()])


def _same_set(a: Any, b: Any) -> bool:
    return len(a) == len(b) and all(any(same(x, y) for y in b) for x in a)


def _same_float(a: float, b: float) -> bool:
    return float(a).hex() == float(b).hex()


def _same_datetime(a: datetime, b: datetime) -> bool:
    return (
        a.replace(tzinfo=None) == b.replace(tzinfo=None)
        and a.fold == b.fold
        and _same_zone(a.tzinfo, b.tzinfo)
    )


def _same_zone(a: Any, b: Any) -> bool:
    return type(a) is type(b) and repr(a) == repr(b)


_COMPARE: dict[type, Callable[[Any, Any], bool]] = {
    dict: _same_dict,
    list: _same_items,
    tuple: _same_items,
    set: _same_set,
    frozenset: _same_set,
    float: _same_float,
    complex: lambda a, b: _same_float(a.real, b.real) and _same_float(a.imag, b.imag),
    datetime: _same_datetime,
    time: _same_datetime,  # type: ignore[dict-item]
    timezone: _same_zone,
    Decimal: lambda a, b: a.as_tuple() == b.as_tuple(),
    BaseModel: lambda a, b: True,
}
