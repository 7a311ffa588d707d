"""P9 at one look: every kind of argument, and whether it arrives equal in a real worker or is refused at the call.

The two tables here are those of docs/tasks.md, row by row: what the page says of a kind is what is tried. The values
are `specimens()` of tests/specimens.py and REFUSED of test_p9_luggage.py; a new one of either must find its row. Files
do not arrive as they went, but as an UploadFile: they are tried in test_p9_uploads.py.

Broken on purpose: in `instances._read_enum`, return the first member; in `refusal._live`, return None.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any

import pytest

from outlast.errors import LuggageRefused
from outlast.queue import TaskQueue
from tests.docs.pages import ROOT, table_under
from tests.promises.test_p9_luggage import REFUSED, close_after
from tests.specimens import arrives, specimens
from tests.worker.harness import House

CARRIED: dict[str, list[str]] = {
    "JSON's own": [
        *(
            "nothing",
            "true",
            "text",
            "empty text",
            "text like a date",
            "text with NUL",
            "text that spells NUL",
        ),
        *("text with a lone surrogate", "integer", "vast integer", "float", "whole float", "minus zero"),
        *("infinity", "not a number", "list", "dict", "dict with the reserved key"),
    ],
    "more containers": [
        *(
            "dict with other keys",
            "tuple",
            "set",
            "empty set",
            "frozenset",
            "named tuple",
            "named tuple, untyped",
        ),
        *("ordered dict", "counter"),
    ],
    "time": [
        *("datetime, naive", "datetime, UTC", "datetime, offset", "datetime, named offset"),
        *("datetime, zone, first of two", "datetime, zone, second of two", "datetime from Pydantic", "date"),
        *("time", "time, aware", "timedelta", "zone", "offset"),
    ],
    "values": [
        *("UUID", "decimal", "decimal, not a number", "fraction", "complex", "range", "slice", "bytes"),
        *("bytearray", "path", "Windows path", "pure path", "IP address", "model with a URL"),
    ],
    "your own classes": [
        *("enum", "enum, alias", "enum of text", "enum of integers", "flag", "no flag", "flag of integers"),
        *("dataclass", "dataclass, frozen, slots", "dataclass, derived", "dataclass with more than fields"),
        *("dataclass, not constructed twice", "dataclass, generic", "dataclass of Pydantic", "model"),
        *("model, partly set", "model, subclass", "model, aliased", "model, computed", "model, extra fields"),
        *("model, private attribute", "model, validator not run twice", "model, time-bound validator"),
        *("model, not valid", "model, strict", "model, generic", "model, generic of generic", "model, root"),
        *("model of SQLModel, no table", "subclass of str", "subclass of list"),
    ],
    "files": [],
    "by their name": ["function", "built-in function", "class", "class method", "static method"],
}
TURNED_AWAY: dict[str, list[str]] = {
    "a lambda, a function inside a function": ["lambda", "nested function", "closure"],
    "a method of an object (`client.send`)": ["bound method", "bound method of a list"],
    "a function with arguments already in it (`partial(func, 1)`)": ["function with arguments in it"],
    "a request, a response": ["request", "web socket", "response"],
    "a database session, a connection": [
        *("session", "session of SQLModel", "session for async code", "maker of sessions", "engine"),
        "database connection",
    ],
    "a client (`httpx.Client`, `redis.Redis`)": [
        *("HTTP client", "HTTP client for async code", "client of Redis", "client of Redis for async code"),
        "socket",
    ],
    "an ORM row, of SQLAlchemy or SQLModel": ["ORM row", "ORM row of SQLModel", "ORM row deep in a dict"],
    "a text file, a pipe, a file that is closed": [
        *(
            "text file",
            "temporary text file",
            "spooled text file",
            "closed file",
            "device",
            "compressed file",
        ),
        *("file that can only be written", "upload of a closed file", "upload of what is no file", "buffer"),
    ],
    "a lock, a queue, an event": ["lock", "reentrant lock", "lock of asyncio", "event"],
    "a generator, an iterator": ["generator", "async generator", "iterator", "iterator of a list"],
    "a coroutine (`add_task(func(1))`)": ["coroutine", "future"],
    "an array, a table, an image": ["array", "memory view"],
    "a secret of Pydantic": ["secret", "secret in a model"],
    "the app, a module, a logger, a thread": [
        *("app", "module", "logger", "thread", "context", "frame", "error"),
    ],
    "an object of any other class": [
        *("object", "instance of a local class", "namespace", "subclass that changes what it is given"),
        *("dict with a default", "deque", "view of a dict", "pattern", "time zone of a library"),
        *("deep in a list", "deep in a tuple", "as a key", "in a set", "in a model"),
    ],
    "what contains itself, or is nested deeper than 64 levels": ["cycle", "too deep"],
}


def row_of(table: dict[str, list[str]], name: str) -> str:
    (row,) = [row for row, names in table.items() if name in names]
    return row


@pytest.fixture(scope="module")
def arrived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """By each specimen: whether a worker's child was given what it is there."""
    house = House(tmp_path_factory.mktemp("matrix"))
    queue = TaskQueue(store=house.url)
    try:
        jobs = {name: queue.enqueue(arrives, name, value).id for name, value in specimens().items()}
        house.worker()
        yield dict(zip(jobs, house.results(list(jobs.values())), strict=True))
    finally:
        queue.close()
        house.close()


@pytest.mark.parametrize("name", specimens(), ids=lambda name: f"{row_of(CARRIED, name)}: {name}")
def test_it_arrives_equal_in_a_worker(arrived: dict[str, Any], name: str) -> None:
    assert arrived[name] is True


@pytest.mark.parametrize("name", REFUSED, ids=lambda name: f"{row_of(TURNED_AWAY, name)}: {name}")
def test_it_is_refused_at_the_call_with_the_cure(name: str, request: pytest.FixtureRequest) -> None:
    """Whatever else is right about the call: nothing is in the store."""
    make, cure, *_ = REFUSED[name]
    value = make()
    close_after(request, value)

    with pytest.raises(LuggageRefused) as refusal:
        queue.prepare(arrives, (name, value), {})

    assert str(refusal.value).startswith("arrives() cannot carry value")
    assert cure in str(refusal.value)


queue = TaskQueue(store="sqlite:///never-opened.db")


def test_the_page_has_these_rows() -> None:
    carried, refused = (
        [row[0] for row in table_under(ROOT / "docs" / "tasks.md", heading)]
        for heading in ("What can be an argument", "What is refused")
    )

    assert carried == list(CARRIED)
    assert refused == list(TURNED_AWAY)


def test_there_are_forty_kinds_and_more() -> None:
    """Each value has one row, and no row is without a value."""
    assert sorted(chain(*CARRIED.values())) == sorted(specimens())
    assert sorted(chain(*TURNED_AWAY.values())) == sorted(REFUSED)
    assert len(specimens()) > 40
    assert len(REFUSED) > 40
