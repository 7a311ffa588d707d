"""P9: every argument arrives equal to what was passed, or is refused at once, naming the parameter and the cure.

Broken on purpose, each of these makes a test here fail:
 - in `parcel._check`, return at once: what its class changes on the way is carried changed;
 - in `parcel._are_alike`, return True: the annotation turns a tuple into a list and an object into another;
 - in `instances._read_model`, always take the `_validated` way: validators run twice, and refuse what is past;
 - in `parcel.Packer.pack`, ask `isinstance(value, str)` instead of the exact kind: subclasses and enums become text.
"""

from __future__ import annotations

import array
import asyncio
import concurrent.futures
import contextvars
import datetime
import functools
import io
import itertools
import json
import logging
import re
import socket
import sqlite3
import sys
import tempfile
import threading
import types
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
import redis
import redis.asyncio
import sqlmodel
from fastapi import FastAPI, Request, UploadFile, WebSocket
from pydantic import BaseModel, SecretStr
from sqlalchemy import create_engine, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session, sessionmaker
from starlette.responses import Response

from outlast.errors import LuggageRefused
from outlast.luggage import Signature
from tests.promises.tables import Hero, Odd, Order, OrderLine
from tests.specimens import Item, Mailer, User, same, specimens, top_level


def task(value: Any) -> None:
    pass


def plain_task(value):  # type: ignore[no-untyped-def]
    pass


@pytest.mark.parametrize("name", specimens())
@pytest.mark.parametrize("function", [task, plain_task])
def test_what_comes_out_equals_what_went_in(function: Callable[..., Any], name: str) -> None:
    signature = Signature.of(function)
    text = signature.pack((specimens()[name],), {})
    arrived = signature.unpack(text)
    assert json.loads(text)
    assert same(arrived, ((), {"value": specimens()[name]}))


class Shouting(str):
    """Adds to what it is given, each time."""

    def __new__(cls, text: str) -> Shouting:
        return super().__new__(cls, text + "!")


class Plain:
    pass


class Zone(datetime.tzinfo):
    def utcoffset(self, when: datetime.datetime | None) -> datetime.timedelta:
        return datetime.timedelta(hours=1)


class Account(BaseModel):
    secret: SecretStr


def generator() -> Iterator[int]:
    yield 1


async def async_generator() -> AsyncIterator[int]:
    yield 1


async def coroutine() -> None:
    pass


def closed_coroutine() -> Any:
    made = coroutine()
    made.close()
    return made


def nested() -> Callable[[], None]:
    def inner() -> None:
        pass

    return inner


def closure() -> Callable[[], Any]:
    held = Plain()
    return lambda: held


def local_instance() -> Any:
    class Local(BaseModel):
        id: int

    return Local(id=1)


def cycle() -> list[Any]:
    made: list[Any] = []
    made.append({"self": made})
    return made


def too_deep() -> Any:
    return functools.reduce(lambda inner, _: (inner,), range(1000), None)


def error() -> Exception:
    return ValueError("x")


SCOPE = {"type": "http", "headers": [], "path": "/", "method": "GET", "query_string": b""}

# What it is: how it is made, words of the cure, and the path to what is refused in it.
REFUSED: dict[str, tuple[Callable[[], Any], str] | tuple[Callable[[], Any], str, str]] = {
    "lambda": (lambda: lambda: 1, "def at the top level"),
    "nested function": (nested, "top level of its module"),
    "closure": (closure, "top level"),
    "bound method": (lambda: Mailer().send, "function of a module"),
    "bound method of a list": (lambda: [].append, "function of a module"),
    "function with arguments in it": (lambda: functools.partial(top_level, 1), "its arguments beside it"),
    "request": (lambda: Request(SCOPE), "values that the task needs"),
    "web socket": (
        lambda: WebSocket({**SCOPE, "type": "websocket"}, None, None),
        "values that the task needs",
    ),  # type: ignore[arg-type]
    "response": (lambda: Response("x"), "values that the task needs"),
    "uploaded file": (lambda: UploadFile(io.BytesIO(b"x")), "pass its path, or pass its bytes"),
    "app": (FastAPI, "import the app in the task"),
    "database connection": (lambda: sqlite3.connect(":memory:"), "open it in the task"),
    "generator": (generator, "a list"),
    "iterator": (itertools.count, "a list"),
    "iterator of a list": (lambda: iter([1]), "a list"),
    "coroutine": (closed_coroutine, "add_task(func, argument)"),
    "future": (concurrent.futures.Future, "pass its result"),
    "lock": (threading.Lock, "in the task"),
    "reentrant lock": (threading.RLock, "in the task"),
    "lock of asyncio": (asyncio.Lock, "in the task"),
    "event": (threading.Event, "in the task"),
    "thread": (threading.Thread, "in the task"),
    "file": (Path(__file__).open, "path"),
    "temporary file": (tempfile.TemporaryFile, "path"),
    "buffer": (io.BytesIO, "getvalue()"),
    "socket": (socket.socket, "connect in the task"),
    "module": (lambda: json, "import it in the task"),
    "logger": (lambda: logging.getLogger("x"), "getLogger(__name__) in the task"),
    "context": (contextvars.copy_context, "values that the task needs"),
    "error": (error, "str(error)"),
    "frame": (sys._getframe, "values that the task needs"),
    "memory view": (lambda: memoryview(b"x"), "bytes("),
    "view of a dict": ({"a": 1}.keys, "a list or a dict"),
    "pattern": (lambda: re.compile("x"), ".pattern"),
    "array": (lambda: array.array("i", [1]), ".tolist()"),
    "deque": (lambda: deque([1]), "a list of it"),
    "dict with a default": (lambda: defaultdict(list), "convert it"),
    "object": (Plain, "dataclass or a Pydantic model"),
    "instance of a local class": (local_instance, "top level"),
    "namespace": (lambda: types.SimpleNamespace(a=1), "dataclass or a Pydantic model"),
    "subclass that changes what it is given": (lambda: Shouting("a"), "convert it"),
    "time zone of a library": (lambda: datetime.datetime(2026, 1, 1, tzinfo=Zone()), "zoneinfo.ZoneInfo"),
    "secret": (lambda: SecretStr("x"), "read it in the task"),
    "secret in a model": (lambda: Account(secret=SecretStr("x")), "read it in the task", ".secret"),
    "cycle": (cycle, "without the cycle", "[0]['self']"),
    "too deep": (too_deep, "flatten it", "[0][0][0]"),
    "deep in a list": (lambda: [0, 1, 2, {"item": Item("x", Plain())}], "dataclass", "[3]['item'].owner"),
    "deep in a tuple": (lambda: (0, {1: [Plain()]}), "dataclass", "[1][1][0]"),
    "session": (Session, "open it in the task"),
    "session of SQLModel": (sqlmodel.Session, "open it in the task"),
    "session for async code": (AsyncSession, "open it in the task"),
    "maker of sessions": (sessionmaker, "open it in the task"),
    "engine": (lambda: create_engine("sqlite://"), "open it in the task"),
    "HTTP client": (httpx.Client, "open it in the task"),
    "HTTP client for async code": (httpx.AsyncClient, "open it in the task"),
    "client of Redis": (redis.Redis, "open it in the task"),
    "client of Redis for async code": (redis.asyncio.Redis, "open it in the task"),
    "ORM row": (lambda: Order(id=1), "session.get(Order, value_id)"),
    "ORM row of SQLModel": (lambda: Hero(id=1), "session.get(Hero, value_id)"),
    "ORM row deep in a dict": (lambda: {"of": [Order(id=1)]}, "session.get(Order, order_id)", "['of'][0]"),
    "async generator": (async_generator, "a list"),
    "as a key": (lambda: {Plain(): 1}, "dataclass", ".keys()[0]"),
    "in a set": (lambda: {Plain()}, "dataclass"),
    "in a model": (lambda: User.model_construct(id=1, name=threading.Lock()), "in the task", ".name"),
}


def close_after(request: pytest.FixtureRequest, value: Any) -> None:
    """Close at the end of the test what warns of not being closed."""
    if isinstance(value, io.IOBase | socket.socket | sqlite3.Connection):
        request.addfinalizer(value.close)


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("function", [task, plain_task])
def test_the_rest_is_refused_at_once_with_parameter_reason_and_cure(
    function: Callable[..., Any], name: str, request: pytest.FixtureRequest
) -> None:
    make, cure, path, *_ = (*REFUSED[name], "")
    value = make()
    close_after(request, value)
    with pytest.raises(LuggageRefused) as refusal:
        Signature.of(function).pack((value,), {})
    what, _, told_cure = str(refusal.value).rpartition("; ")
    assert what.startswith(f"{function.__name__}() cannot carry value{path}")
    assert cure in told_cure


def test_the_result_of_a_query_and_its_connection_are_refused() -> None:
    engine = create_engine("sqlite://")
    with engine.connect() as connection:
        row = connection.execute(text("select 1 as one")).one()
        with pytest.raises(LuggageRefused, match=r"value.*connection.*open it in the task"):
            Signature.of(task).pack((connection,), {})
        with pytest.raises(LuggageRefused, match=r"value.*result of a query.*as a dict or a list"):
            Signature.of(task).pack((row,), {})
    engine.dispose()


def ship(order: Order) -> None:
    pass


async def aship(order: Order, *others: Any) -> None:
    pass


# Of what the message says: the values to pass in place of the row, and the two lines that load it.
@pytest.mark.parametrize(
    ("function", "arguments", "told"),
    [
        (
            ship,
            (Order(id=1),),
            """pass order.id and load it in the task:
    def ship(order_id: int, session: Annotated[Session, Depends(get_session)]):
        order = session.get(Order, order_id)""",
        ),
        (
            aship,
            (Order(id=1),),
            """pass order.id and load it in the task:
    async def aship(order_id: int, session: Annotated[AsyncSession, Depends(get_session)]):
        order = await session.get(Order, order_id)""",
        ),
        (
            ship,
            (OrderLine(order=UUID(int=1), number=2),),
            """pass order.order, order.number and load it in the task:
    def ship(order_order: UUID, order_number: int, session: Annotated[Session, Depends(get_session)]):
        order = session.get(OrderLine, (order_order, order_number))""",
        ),
        (
            aship,
            (1, 2, [Hero(id=1)]),
            """pass others[1][0].id and load it in the task:
    async def aship(hero_id: int, session: Annotated[AsyncSession, Depends(get_session)]):
        hero = await session.get(Hero, hero_id)""",
        ),
        (
            ship,
            (Odd(at="x"),),
            """pass order.at and load it in the task:
    def ship(order_at, session: Annotated[Session, Depends(get_session)]):
        order = session.get(Odd, order_at)""",
        ),
    ],
    ids=["def", "async def", "two keys", "SQLModel, in a list", "a type of its own"],
)
def test_the_refusal_of_a_row_shows_the_lines_that_load_it(
    function: Callable[..., Any], arguments: tuple[Any, ...], told: str
) -> None:
    """With the names of the function, its parameter, the class, and the attributes that are its primary key."""
    with pytest.raises(LuggageRefused, match="an ORM row, which belongs to its session") as refusal:
        Signature.of(function).pack(arguments, {})

    assert str(refusal.value).partition("; ")[2] == told


def typed_task(
    *,
    day: datetime.date | None = None,
    flag: int = 0,
    items: list[Any] | None = None,
    user: User | None = None,
    pattern: re.Pattern[str] | None = None,
    numbers: Any = (),
) -> None:
    pass


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("day", "2026-01-01"),
        ("day", datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)),
        ("flag", True),
        ("flag", "1"),
        ("flag", 1.0),
        ("items", (1, 2)),
        ("items", {1}),
        ("user", {"id": 1}),
        ("user", specimens()["model, subclass"]),
        ("user", specimens()["model, partly set"]),
        ("numbers", (1, (True, "2026-01-01"))),
    ],
)
def test_no_annotation_turns_a_value_into_another(parameter: str, value: Any) -> None:
    signature = Signature.of(typed_task)
    assert same(signature.unpack(signature.pack((), {parameter: value})), ((), {parameter: value}))


def test_what_only_the_annotation_can_carry_goes_its_way_if_it_arrives_equal() -> None:
    signature = Signature.of(typed_task)
    pattern = re.compile("a+", re.ASCII)
    with pytest.raises(LuggageRefused, match=r"pattern.*compile it in the task"):
        signature.pack((), {"pattern": pattern})  # Pydantic would forget the flag

    unflagged = re.compile("a+")
    assert signature.unpack(signature.pack((), {"pattern": unflagged})) == ((), {"pattern": unflagged})


def test_the_copy_is_taken_when_the_call_is_packed() -> None:
    items = [1]
    text = Signature.of(task).pack((items,), {})
    items.append(2)
    assert Signature.of(task).unpack(text) == ((), {"value": [1]})


def test_nothing_is_pickled(monkeypatch: pytest.MonkeyPatch) -> None:
    class Pickling(Plain):
        def __reduce_ex__(self, protocol: Any) -> Any:
            raise AssertionError("was asked to be pickled")

    with pytest.raises(LuggageRefused):
        Signature.of(task).pack((Pickling(),), {})
