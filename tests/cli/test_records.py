"""Arguments as people are shown them, written by the real packing."""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from types import SimpleNamespace
from typing import NamedTuple

import pytest
from pydantic import BaseModel

from outlast.luggage import Signature
from outlast.wording import arguments, readable


class Colour(Enum):
    RED = "red"


@dataclass
class Point:
    x: int
    y: int


class Order(BaseModel):
    id: int
    due: date


class Pair(NamedTuple):
    one: int
    other: str


class Age(int):
    pass


def take(value): ...


def take_all(first: str, *rest: int, **named: str): ...


def shown(*args, **kwargs) -> list[tuple[str, str]]:
    func = take if len(args) == 1 and not kwargs else take_all
    return arguments(SimpleNamespace(luggage=Signature.of(func).pack(args, kwargs)))


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("it's", '"it\'s"'),
        (None, "None"),
        ([1, {"a": True}], "[1, {'a': True}]"),
        (Decimal("12.50"), "decimal('12.50')"),
        (datetime(2026, 1, 1, tzinfo=UTC), "datetime('2026-01-01T00:00:00+00:00')"),
        ((1, 2), "tuple(1, 2)"),
        (Colour.RED, "Colour('RED')"),
        (Point(1, 2), "Point(x=1, y=2)"),
        (Order(id=7, due=date(2026, 1, 1)), "Order(id=7, due=date('2026-01-01'))"),
        (Pair(1, "x"), "Pair(one=1, other='x')"),
        (Age(5), "Age(5)"),
    ],
)
def test_a_value_reads_as_one_would_write_it(value, told):
    assert shown(value) == [("value", told)]


def test_arguments_have_the_names_of_their_parameters():
    assert shown("a", 1, 2, to="b") == [("first", "'a'"), ("*", "[1, 2]"), ("to", "'b'")]


def test_what_looks_like_a_value_of_ours_but_is_none_is_shown_as_it_is():
    assert readable({"$": 3}) == "{'$': 3}"
    assert readable({"$": []}) == "{'$': []}"
