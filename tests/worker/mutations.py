"""Changes that people make to a task between two releases, and whether a job enqueued before fits the code after.

Each is two versions of one module. The older one has a task `job`, and `CALL`: the arguments that it is enqueued with.
In the newer one, whatever runs of the task says `ran()`.
"""

from __future__ import annotations

from typing import NamedTuple

OLD_PRELUDE = """
from dataclasses import dataclass
from datetime import date, datetime
from enum import Enum
from typing import Annotated, Any, Literal, NamedTuple

from fastapi import Depends, Header, Request
from pydantic import BaseModel, ConfigDict, Field, field_validator


def given():
    return "by a dependency"


def of_client(token: Annotated[str, Header()]): ...


def of_state(request: Request):
    return request.app


def call(*args, **kwargs):
    return args, kwargs
"""
NEW_PRELUDE = (
    OLD_PRELUDE
    + """
import functools

from app import queue, ran
"""
)


class Mutation(NamedTuple):
    """`old` and `new` are modules; None: the module is gone. `fits`: whether the job runs with the new one."""

    old: str
    new: str | None
    fits: bool


def signature(before: str, call: str, after: str, fits: bool) -> Mutation:
    """Another list of parameters."""
    return Mutation(
        f"def job({before}): ...\nCALL = call({call})", f"def job({after}):\n    return ran()", fits
    )


def named(new: str | None, fits: bool) -> Mutation:
    """Another thing under the name of a task that took one `a`."""
    return Mutation("def job(a): ...\nCALL = call(1)", new, fits)


def of_class(before: str, value: str, after: str, fits: bool) -> Mutation:
    """Another class of an argument; the task itself is as it was."""
    return Mutation(
        f"{before}\n\ndef job(value): ...\nCALL = call({value})",
        f"{after}\n\ndef job(value):\n    return ran()",
        fits,
    )


FORM = "class Form(BaseModel):\n    id: int\n    name: str = ''"
ITEM = "@dataclass\nclass Item:\n    id: int\n    name: str = ''"
POINT = "class Point(NamedTuple):\n    x: int\n    y: int = 0"
COLOUR = "class Colour(Enum):\n    RED = 1\n    GREEN = 2"

MUTATIONS = {
    # ---- parameters come and go
    "nothing changed": signature("a: int", "1", "a: int", True),
    "optional parameter added": signature("a", "1", "a, b=2", True),
    "required parameter added": signature("a", "1", "a, b", False),
    "required keyword added": signature("a", "1", "a, *, b", False),
    "optional keyword added": signature("a", "1", "a, *, b=2", True),
    "parameter removed that was not given": signature("a, b=2", "1", "a", True),
    "parameter removed that was given": signature("a, b=2", "1, 3", "a", False),
    "parameter renamed": signature("a", "1", "b", False),
    "parameter renamed, with a default": signature("a", "1", "b=0", False),
    "parameters in another order": signature("a, b", "1, 2", "b, a", True),
    "default removed, was given": signature("a=1", "5", "a", True),
    "default removed, was not given": signature("a=1", "", "a", False),
    "default changed": signature("a=1", "", "a=2", True),
    "all parameters removed": signature("a", "1", "", False),
    "all parameters removed, none given": signature("a=1", "", "", True),
    # ---- what is declared by Depends
    "dependency added": signature("a", "1", "a, b: Annotated[str, Depends(given)]", True),
    "dependency added, by default": signature("a", "1", "a, b=Depends(given)", True),
    "dependency on the app's state added": signature("a", "1", "a, b=Depends(of_state)", True),
    "dependency removed": signature("a, b=Depends(given)", "1", "a", True),
    "dependency changed": signature("a, b=Depends(given)", "1", "a, b=Depends(of_state)", True),
    "dependency became a required argument": signature("a, b=Depends(given)", "1", "a, b", False),
    "dependency became an optional argument": signature("a, b=Depends(given)", "1", "a, b=None", True),
    "argument became a dependency": signature("a, b", "1, 2", "a, b=Depends(given)", False),
    "dependency that needs a client's request added": signature("a", "1", "a, b=Depends(of_client)", False),
    # ---- how they may be passed
    "made keyword-only": signature("a", "1", "*, a", True),
    "made positional-only": signature("a", "a=1", "a, /", True),
    "positional-only made keyword-only": signature("a, /", "1", "*, a", True),
    "positional-only behind an optional one": signature("b", "1", "a=0, b=0, /", True),
    "positional-only behind a required one": signature("b", "1", "a, b, /", False),
    "*args added": signature("a", "1", "a, *rest", True),
    "*args removed, some given": signature("a, *rest", "1, 2, 3", "a", False),
    "*args removed, none given": signature("a, *rest", "1", "a", True),
    "optional parameter before *args": signature("*rest", "1, 2", "first=0, *rest", True),
    "required parameter before *args": signature("*rest", "1, 2", "first, *rest", False),
    "required keyword behind *args": signature("*rest", "1, 2", "*rest, last", False),
    "parameter before *args removed": signature("a, *rest", "1, 2", "*rest", False),
    "**kwargs added": signature("a", "1", "a, **more", True),
    "**kwargs removed, some given": signature("a, **more", "1, b=2", "a", False),
    "**kwargs removed, none given": signature("a, **more", "1", "a", True),
    "parameter became one of **kwargs": signature("a, b", "1, 2", "a, **more", True),
    "one of **kwargs became a parameter": signature("a, **more", "1, b=2", "a, b", True),
    "one of **kwargs became positional-only": signature("**more", "a=1", "a, /", False),
    "one of **kwargs is given twice now": signature("a, /, **more", "1, a=2", "a", False),
    "anything is taken": signature("a, b", "1, 2", "*args, **kwargs", True),
    # ---- annotations, by which values must suit
    "int became float": signature("a: int", "1", "a: float", True),
    "int became str": signature("a: int", "1", "a: str", False),
    "str became int, the text is a number": signature("a: str", "'5'", "a: int", True),
    "str became int, the text is none": signature("a: str", "'five'", "a: int", False),
    "first annotation, which suits": signature("a", "1", "a: int", True),
    # Without an annotation nobody said what suits: the value arrives as it was passed.
    "first annotation, which does not suit": signature("a", "'x'", "a: int", True),
    "annotation removed": signature("a: int", "1", "a", True),
    "made optional": signature("a: int", "1", "a: int | None = None", True),
    "no longer optional, None given": signature("a: int | None", "None", "a: int", False),
    "items became text": signature("a: list[int]", "[1]", "a: list[str]", False),
    "items became floats": signature("a: list[int]", "[1]", "a: list[float]", True),
    "items became text, there are none": signature("a: list[int]", "[]", "a: list[str]", True),
    "one of *args does not suit": signature("*a: int", "1, 2", "*a: str", False),
    "one of **kwargs does not suit": signature("**a: int", "x=1", "**a: str", False),
    "choice taken away, was chosen": signature("a: Literal['x', 'y']", "'x'", "a: Literal['y', 'z']", False),
    "choice taken away, was not chosen": signature("a: Literal['x', 'y']", "'y'", "a: Literal['y']", True),
    "limit that it keeps": signature("a: int", "11", "a: Annotated[int, Field(gt=10)]", True),
    "limit that it does not keep": signature("a: int", "5", "a: Annotated[int, Field(gt=10)]", False),
    "date became datetime": signature("a: date", "date(2026, 1, 1)", "a: datetime", True),
    "datetime became date, at noon": signature("a: datetime", "datetime(2026, 1, 1, 12)", "a: date", False),
    "what never suited, left as it is": signature("a: int", "'x'", "a: int", True),
    "what never suited, annotated anew": signature("a: int", "'x'", "a: float", False),
    "a name for type checkers only": signature("a: 'Missing'", "1", "a: 'Missing'", True),
    # ---- classes of arguments
    "model, field with a default added": of_class(FORM, "Form(id=1)", f"{FORM}\n    more: int = 0", True),
    "model, required field added": of_class(FORM, "Form(id=1)", f"{FORM}\n    more: int", False),
    "model, field removed": of_class(
        FORM, "Form(id=1, name='x')", "class Form(BaseModel):\n    id: int", False
    ),
    "model, field removed, extra ones allowed": of_class(
        FORM,
        "Form(id=1, name='x')",
        "class Form(BaseModel):\n    model_config = ConfigDict(extra='allow')\n    id: int",
        True,
    ),
    "model, field retyped, suits": of_class(FORM, "Form(id=1)", FORM.replace("int", "float"), True),
    "model, field retyped, does not suit": of_class(FORM, "Form(id=1)", FORM.replace("int", "str"), False),
    "model, field renamed": of_class(FORM, "Form(id=1)", FORM.replace("id:", "key:"), False),
    "model, validator added that would refuse": of_class(
        FORM,
        "Form(id=1)",
        f"{FORM}\n    @field_validator('id')\n    def no(cls, value):\n        raise ValueError('no')",
        True,
    ),
    "model, alias added": of_class(
        FORM, "Form(id=1)", FORM.replace("id: int", "id: int = Field(alias='ID')"), True
    ),
    "model, in a list, required field added": of_class(FORM, "[Form(id=1)]", f"{FORM}\n    more: int", False),
    "model renamed": of_class(FORM, "Form(id=1)", FORM.replace("Form", "Sheet"), False),
    "model moved, its name left in place": of_class(FORM, "Form(id=1)", "from moved import Form", True),
    "model became a dataclass": of_class(
        FORM, "Form(id=1)", FORM.replace("(BaseModel)", "").replace("class", "@dataclass\nclass"), False
    ),
    "dataclass, field with a default added": of_class(ITEM, "Item(1)", f"{ITEM}\n    more: int = 0", True),
    "dataclass, required field added": of_class(
        ITEM, "Item(1)", ITEM.replace("id: int", "id: int\n    more: int"), False
    ),
    "dataclass, field removed": of_class(ITEM, "Item(1)", ITEM.replace("    name: str = ''", ""), False),
    "dataclass, field retyped": of_class(ITEM, "Item(1)", ITEM.replace("id: int", "id: str"), True),
    "enum, member removed that was given": of_class(
        COLOUR, "Colour.RED", COLOUR.replace("RED = 1", "BLUE = 1"), False
    ),
    "enum, another member removed": of_class(
        COLOUR, "Colour.RED", COLOUR.replace("GREEN = 2", "BLUE = 2"), True
    ),
    "enum, value changed": of_class(COLOUR, "Colour.RED", COLOUR.replace("RED = 1", "RED = 7"), True),
    "named tuple, field with a default added": of_class(POINT, "Point(1)", f"{POINT}\n    z: int = 0", True),
    "named tuple, field removed": of_class(
        POINT, "Point(1)", POINT.replace("    y: int = 0", "    pass"), False
    ),
    "function that was given is gone": of_class("def helper(): ...", "helper", "def assistant(): ...", False),
    # ---- the task itself
    "task removed": named("def other(a):\n    return ran()", False),
    "task renamed, its name left in place": named("def new(a):\n    return ran()\n\njob = new", True),
    "task renamed, with an alias": named("@queue.task(aliases=['job'])\ndef new(a):\n    return ran()", True),
    "task renamed, alias, argument does not fit": named(
        "@queue.task(aliases=['job'])\ndef new(a, b):\n    return ran()", False
    ),
    "task renamed, its alias misspelt": named(
        "@queue.task(aliases=['jobs'])\ndef new(a):\n    return ran()", False
    ),
    "module gone": named(None, False),
    "module gone, its task moved with an alias": named(None, True),
    "module cannot be imported": named("import module_that_is_not_there", False),
    "module ends the process": named("raise SystemExit(3)", False),
    "made async": named("async def job(a):\n    return ran()", True),
    "made a class": named("class job:\n    def __init__(self, a):\n        ran()", True),
    "made a class that takes more": named("class job:\n    def __init__(self, a, b):\n        ran()", False),
    "made a generator": named("def job(a):\n    yield ran()", False),
    "made an async generator": named("async def job(a):\n    yield ran()", False),
    "made an object that can be called": named(
        "class Job:\n    def __call__(self, a):\n        return ran()\n\njob = Job()", True
    ),
    "no function any more": named("job = 5", False),
    "decorated as a task": named("@queue.task(queue='mail')\ndef job(a):\n    return ran()", True),
    "decorated, wrapped as it should be": named(
        "def twice(func):\n    @functools.wraps(func)\n    def both(*args, **kwargs):\n"
        "        return func(*args, **kwargs)\n    return both\n\n@twice\ndef job(a):\n    return ran()",
        True,
    ),
    "decorated, wrapped by what takes anything": named(
        "def twice(func):\n    def both(*args, **kwargs):\n        return func(*args, **kwargs)\n"
        "    return both\n\n@twice\ndef job(a):\n    return ran()",
        True,
    ),
    "async made plain": Mutation(
        "async def job(a): ...\nCALL = call(1)", "def job(a):\n    return ran()", True
    ),
    "static method removed": Mutation(
        "class Mail:\n    @staticmethod\n    def send(a): ...\n\njob = Mail.send\nCALL = call(1)",
        "class Mail:\n    pass",
        False,
    ),
    "static method kept": Mutation(
        "class Mail:\n    @staticmethod\n    def send(a): ...\n\njob = Mail.send\nCALL = call(1)",
        "class Mail:\n    @staticmethod\n    def send(a):\n        return ran()",
        True,
    ),
}
"""By what was changed."""

MOVED = "module gone, its task moved with an alias"
