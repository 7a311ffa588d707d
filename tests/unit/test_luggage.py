"""A call's arguments as JSON text and back: binding, misfits, limits, and values of every kind, nested at random."""

from __future__ import annotations

import functools
import json
import math
import subprocess
import sys
from collections.abc import Callable
from dataclasses import make_dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Annotated, Any

import pytest
from fastapi import Depends, Security
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import PositiveInt, RootModel, create_model

from outlast.errors import LuggageMisfit, LuggageRefused, LuggageTooLarge
from outlast.luggage import Signature, instances, pack_value, unpack_value
from tests import specimens as goods
from tests.specimens import Admin, Colour, Frozen, Item, Level, Plan, Point, Right, Slug, Stack, User, same

if TYPE_CHECKING:
    from nowhere import Session


def trip(func: Callable[..., Any], /, *args: Any, **kwargs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    signature = Signature.of(func)
    return signature.unpack(signature.pack(args, kwargs))


def carried(written_for: Callable[..., Any], read_by: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    return Signature.of(read_by).unpack(Signature.of(written_for).pack(args, kwargs))


def send(to: str, message: str = "", *, copies: int = 1) -> None:
    pass


# Which argument goes where


def test_a_call_is_readable_json_by_the_names_of_its_parameters() -> None:
    def send(to, message=""):  # type: ignore[no-untyped-def]
        pass

    assert Signature.of(send).pack(("a@b.c",), {"message": "höre"}) == '{"to":"a@b.c","message":"höre"}'


def test_defaults_are_not_carried() -> None:
    assert trip(send, "a") == ((), {"to": "a"})


def everything(first: Any, /, second: Any, third: Any = 3, *args: Any, only: Any = 0, **kwargs: Any) -> Any:
    return first, second, third, args, only, kwargs


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        ((1, 2), {}),
        ((1,), {"second": 2}),
        ((1, 2, 3, 4, (5,)), {"only": 6}),
        ((1, 2), {"first": "by name", "other": date(2026, 1, 1)}),
        (
            (1, 2),
            {
                "self": 1,
                "func": 2,
                "args": 3,
                "kwargs": 4,
                "queue": 5,
                "limit": 6,
                "$": 7,
                "*": 8,
                "@": 9,
                "": 0,
            },
        ),
        ((1,), {"third": 3, "second": 2, "only": None}),
    ],
)
def test_every_form_of_call_arrives_as_it_was_made(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    again, named = trip(everything, *args, **kwargs)
    assert same(everything(*again, **named), everything(*args, **kwargs))


def test_a_later_call_of_the_same_form_is_bound_alike() -> None:
    assert trip(send, "a", message="b") == trip(send, "a", message="b") == ((), {"to": "a", "message": "b"})
    assert trip(send, message="c", to="d") == ((), {"message": "c", "to": "d"})


def positional(a: Any, b: Any = 2, c: Any = 3, /) -> None:
    pass


def test_what_has_no_name_arrives_by_position() -> None:
    assert trip(positional, 1) == ((1,), {})
    assert trip(positional, 1, "b") == ((1, "b"), {})


@pytest.mark.parametrize(
    "name", ["self", "func", "args", "kwargs", "queue", "limit", "value", "where", "text", "cls"]
)
def test_no_parameter_name_is_taken(name: str) -> None:
    namespace: dict[str, Any] = {}
    exec(f"def task({name}): pass", namespace)
    assert trip(namespace["task"], **{name: 1}) == ((), {name: 1})


@pytest.mark.parametrize(
    ("args", "kwargs", "words"),
    [
        ((), {}, "send() misses 'to'"),
        (("a", "b", "c"), {}, "send() takes 2 positional arguments ('to', 'message'), and 3 were passed"),
        (("a",), {"to": "b"}, "send() got 'to' twice"),
        (("a",), {"mesage": "b"}, "send() has no parameter 'mesage'; did you mean 'message'?"),
        (("a",), {"delay": 5}, "send() has no parameter 'delay'; options of a call go through .options(…)"),
    ],
)
def test_a_call_that_does_not_fit_is_refused(
    args: tuple[Any, ...], kwargs: dict[str, Any], words: str
) -> None:
    with pytest.raises(LuggageRefused) as refusal:
        Signature.of(send).pack(args, kwargs)
    assert words in str(refusal.value)
    assert isinstance(refusal.value, TypeError)


def test_a_positional_only_parameter_is_refused_by_name() -> None:
    with pytest.raises(LuggageRefused, match=r"positional\(\) takes 'a' by its position only"):
        Signature.of(positional).pack((), {"a": 1})


def test_a_function_that_does_not_tell_its_parameters_takes_any_call() -> None:
    with pytest.raises(ValueError, match="no signature"):
        __import__("inspect").signature(max)
    assert trip(max, 1, (2,), key=len) == ((1, (2,)), {"key": len})


def test_a_callable_without_a_hash_has_a_signature() -> None:
    class Callable_:
        __hash__ = None  # type: ignore[assignment]

        def __call__(self, x: int) -> None:
            pass

    assert trip(Callable_(), 1) == ((), {"x": 1})


# Parameters that are solved in the worker


def get_session() -> Any:
    pass


def dependent(
    to: str,
    session: Annotated[Session, Depends(get_session)],
    user: Any = Security(get_session),  # noqa: B008
    *,
    other: Any = Depends(get_session),
) -> None:
    pass


def test_what_depends_provides_is_left_out_of_the_call() -> None:
    assert Signature.of(dependent).depends == {"session", "user", "other"}
    assert trip(dependent, "a") == ((), {"to": "a"})


@pytest.mark.parametrize(
    ("args", "kwargs"), [(("a", 1), {}), (("a",), {"session": None}), (("a",), {"other": 1})]
)
def test_a_value_for_what_depends_provides_is_refused(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    with pytest.raises(LuggageRefused, match=r"dependent\(\) gets '(session|other)' from Depends"):
        Signature.of(dependent).pack(args, kwargs)


def test_an_annotation_that_cannot_be_resolved_is_no_hindrance() -> None:
    def task(a: Session | None, b: nowhere.Thing, c: date) -> None:  # type: ignore[name-defined]  # noqa: F821
        pass

    assert trip(task, 1, Point(1), date(2026, 1, 1))[1] == {"a": 1, "b": Point(1), "c": date(2026, 1, 1)}


# Values


JSON_KEYS = st.text() | st.sampled_from(["$", "$$", "*", "@"])
SCALARS: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers() | st.integers(min_value=10**30) | st.integers().map(lambda number: number << 20_000),
    st.floats(),
    st.text(st.characters(codec=None, exclude_categories=())),
    st.just("\\u0000"),
    st.binary(),
    st.binary().map(bytearray),
    st.complex_numbers(allow_nan=False),
    st.decimals(),
    st.fractions(),
    st.uuids(),
    st.dates(),
    st.times(timezones=st.none() | st.just(UTC)),
    st.timedeltas(),
    st.datetimes(timezones=st.none() | st.timezones(), allow_imaginary=True),
    st.datetimes(timezones=st.timedeltas(timedelta(hours=-23), timedelta(hours=23)).map(timezone)),
    st.timezones(),
    st.ip_addresses(),
    st.text("ab/.", min_size=1).map(PurePosixPath),
    st.builds(range, st.integers(), st.integers(), st.integers().filter(bool)),
    st.sampled_from([*Colour, *Plan, *Level, Right(0), Right.READ | Right.OWN, goods.Mode(6)]),
    st.sampled_from([goods.top_level, len, User, goods.Mailer.create]),
    st.text().map(Slug),
)


def can_be_a_key(value: Any) -> bool:
    """Whether it can be found again among others, as NaN cannot."""
    if isinstance(value, Decimal):
        return not value.is_nan()
    return not isinstance(value, bytearray) and not (isinstance(value, float) and math.isnan(value))


HASHABLES = st.recursive(
    SCALARS.filter(can_be_a_key),
    lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=3) | st.builds(Point, inner, inner),
    max_leaves=4,
)


def containers(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=3).map(Stack),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(JSON_KEYS, inner, max_size=3),
        st.dictionaries(HASHABLES, inner, max_size=3),
        st.sets(HASHABLES, max_size=3),
        st.builds(Item, st.text(), inner),
        st.builds(Frozen, st.text(), st.tuples(inner)),
        st.builds(goods.Box, inner),
        st.builds(Point, st.integers(), inner),
        st.builds(User, id=st.integers(), name=st.text()),
        st.builds(Admin, id=st.integers()),
        st.builds(goods.Open, id=st.integers(), more=inner),
        st.builds(lambda items: goods.Page[Any](items=items), st.lists(inner, max_size=2)),
    )


@settings(deadline=None, max_examples=300)
@given(st.recursive(SCALARS, containers, max_leaves=12))
def test_whatever_comes_out_equals_what_went_in(value: Any) -> None:
    text = pack_value(value)
    json.loads(text.encode())
    assert "\0" not in text
    assert same(unpack_value(text), value)


def typed(value: Any = 0, **more: Any) -> None:
    pass


ANNOTATIONS = [
    Any,
    str,
    int,
    float,
    bool,
    bytes,
    date,
    datetime,
    list[int],
    tuple[str, ...],
    User,
    Plan,
    Item,
    dict,
]


@settings(deadline=None, max_examples=100)
@given(st.sampled_from(ANNOTATIONS), st.recursive(SCALARS, containers, max_leaves=4))
def test_no_annotation_changes_a_value(annotation: Any, value: Any) -> None:
    def task(value: Any) -> None:
        pass

    task.__annotations__["value"] = annotation
    assert same(trip(task, value), ((), {"value": value}))


def test_equal_values_are_written_alike() -> None:
    upwards, downwards = {*range(0, 10**6, 10**5)}, {*range(9 * 10**5, -1, -(10**5))}
    assert [*upwards] != [*downwards]
    assert pack_value(upwards) == pack_value(downwards)


def test_a_model_that_only_its_annotation_names_is_carried_by_it() -> None:
    local = create_model("Local", id=(int, ...), user=(User, ...), __module__=__name__)

    def task(value: Any, many: Any = None, *rest: Any, **more: Any) -> None:
        pass

    task.__annotations__ |= {"value": local, "many": list[local], "rest": local, "more": local}  # type: ignore[valid-type]
    value = local(id=1, user=User(id=2, name="a", tags=[]))
    args, kwargs = trip(task, value, [value], value, value, more=value)
    assert args == (value, [value], value, value)
    assert kwargs == {"more": value}


def test_an_unset_field_stays_unset() -> None:
    arrived = trip(send, User(id=1))[1]["to"]
    assert arrived.model_dump(exclude_unset=True) == {"id": 1}


def test_a_result_is_refused_by_its_path() -> None:
    with pytest.raises(
        LuggageRefused, match=r"^cannot carry result\['rows'\]\[1\]: it is an object .*; pass "
    ):
        pack_value({"rows": [1, object()]})


# Limits


def test_the_limit_is_in_bytes_and_the_largest_argument_is_named() -> None:
    signature = Signature.of(send)
    size = len(signature.pack(("a",), {"message": "中" * 100}).encode())
    assert signature.pack(("a",), {"message": "中" * 100}, limit=size)
    with pytest.raises(LuggageTooLarge) as refusal:
        signature.pack(("a",), {"message": "中" * 100}, limit=size - 1)
    told = str(refusal.value)
    assert told.startswith(
        f"send() would have to carry {size:,} bytes of JSON, most of it in message, and {size - 1:,}"
    )
    assert told.endswith("save the data and pass its path or key, or raise the limit")
    assert isinstance(refusal.value, ValueError)


def test_the_limit_is_a_mebibyte_unless_told_otherwise() -> None:
    pack_value("x" * (2**20 - 2))
    with pytest.raises(LuggageTooLarge, match=r"1,048,577 bytes .* in result, and 1,048,576 are allowed"):
        pack_value("x" * (2**20 - 1))


def test_a_small_structure_that_is_shared_many_times_over_is_stopped_in_time() -> None:
    doubled: Any = functools.reduce(lambda inner, _: [inner, inner], range(60), 0)
    with pytest.raises(LuggageTooLarge, match="more than 1,000 bytes"):
        Signature.of(send).pack((doubled,), {}, limit=1000)


def test_a_value_may_be_nested_as_deep_as_the_stack_of_a_request_allows() -> None:
    def nested(levels: int) -> Any:
        return functools.reduce(lambda inner, _: Item("x", inner), range(levels), None)

    def from_depth(frames: int, text_of: Callable[[], Any]) -> Any:
        return from_depth(frames - 1, text_of) if frames else text_of()

    assert same(from_depth(300, lambda: unpack_value(pack_value(nested(60)))), nested(60))
    with pytest.raises(LuggageRefused, match="nested deeper than 64 levels"):
        pack_value(nested(100))
    with pytest.raises(LuggageRefused, match="left of the stack"):
        from_depth(sys.getrecursionlimit() - 300, lambda: pack_value(nested(60)))


def test_what_is_shared_arrives_as_equal_copies() -> None:
    shared = [1]
    assert trip(send, [shared, shared]) == ((), {"to": [[1], [1]]})


# Rows that no longer fit


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (lambda a: 0, lambda a, b: 0, "needs 'b' now, which this job does not carry; give it a default"),
        (lambda b, a=0: 0, lambda a=0: 0, "has no parameter 'b' any more, and this job carries one"),
        (lambda b: 0, lambda a=0, *rest: 0, "has no parameter 'b' any more"),
        (lambda *b: 0, lambda a=0: 0, "takes no *args any more, and this job carries 1"),
        (lambda *b: 0, lambda a, *b: 0, "needs 'a' now"),
        (lambda b: 0, lambda *, b=Depends(get_session): 0, "gets 'b' from Depends now"),
        (lambda *b: 0, lambda a=Depends(get_session), *b: 0, "has 'a' before its *args now"),
    ],
)
def test_a_row_that_does_not_fit_says_which_parameter(old: Any, new: Any, words: str) -> None:
    with pytest.raises(LuggageMisfit) as misfit:
        carried(old, new, 1)
    assert words in str(misfit.value)
    assert str(misfit.value).endswith("run this job with the code that it was enqueued by, or cancel it")


@pytest.mark.parametrize(
    ("old", "new", "call"),
    [
        (lambda a: 0, lambda a, b=2: 0, ((), {"a": 1})),
        (lambda a: 0, lambda b=2, a=0: 0, ((), {"a": 1})),
        (lambda a: 0, lambda a, /: 0, ((1,), {})),
        (lambda a: 0, lambda b=2, a=0, /: 0, ((2, 1), {})),
        (lambda a: 0, lambda **all: 0, ((), {"a": 1})),
        (lambda *a: 0, lambda b=2, *a: 0, ((2, 1), {})),
        (lambda a, /: 0, lambda *, a: 0, ((), {"a": 1})),
    ],
)
def test_a_function_may_change_as_long_as_its_rows_still_fit(old: Any, new: Any, call: Any) -> None:
    assert carried(old, new, 1) == call


def test_two_arguments_that_have_come_to_share_a_name_are_a_misfit() -> None:
    text = Signature.of(everything).pack((1, 2), {"first": 3})
    with pytest.raises(LuggageMisfit, match="takes 'first' once now, and this job carries two"):
        Signature.of(lambda first, second, **more: 0).unpack(text)


def test_a_keyword_may_become_a_parameter() -> None:
    assert carried(lambda **all: 0, lambda a=0: 0, a=1) == ((), {"a": 1})


def annotated(annotation: Any) -> Callable[..., None]:
    def task(value: Any, *, more: Any = 0) -> None:
        pass

    task.__annotations__["value"] = annotation
    return task


@pytest.mark.parametrize(
    ("old", "new", "value"),
    [
        (str, int, "abc"),
        (int, PositiveInt, -1),
        (User, Item, User(id=1)),
        (Any, date, "tomorrow"),
    ],
)
def test_a_value_that_a_changed_annotation_refuses_is_a_misfit(old: Any, new: Any, value: Any) -> None:
    with pytest.raises(LuggageMisfit, match=r"cannot take 'value' from this job: (?!:).*; run this job with"):
        carried(annotated(old), annotated(new), value)


def test_a_value_that_a_changed_annotation_takes_arrives_as_it_was_passed() -> None:
    assert same(carried(annotated(str), annotated(date), "2026-01-01")[1], {"value": "2026-01-01"})


def test_a_value_that_no_annotation_ever_suited_is_left_alone_while_they_stay() -> None:
    assert carried(annotated(int), annotated(int), "abc", more=1) == ((), {"value": "abc", "more": 1})


def test_a_parameter_that_has_lost_the_annotation_that_wrote_it_is_a_misfit() -> None:
    local = create_model("Local", id=(int, ...), __module__=__name__)
    with pytest.raises(
        LuggageMisfit, match=r"'value' .* written by its annotation, and the annotations have changed since"
    ):
        carried(annotated(local), typed, local(id=1))
    changed = create_model("Local", id=(int, ...), name=(str, ...), __module__=__name__)
    with pytest.raises(LuggageMisfit, match=r"'value' .* name: Field required"):
        carried(annotated(local), annotated(changed), local(id=1))


def changed(monkeypatch: pytest.MonkeyPatch, name: str, today: type, value: Any) -> Any:
    """What arrives of `value` where its class has become `today` since."""
    text = Signature.of(typed).pack((value,), {})
    today.__module__, today.__qualname__ = goods.__name__, name
    monkeypatch.setattr(goods, name, today)
    return Signature.of(typed).unpack(text)[1]["value"]


def test_a_model_with_a_new_default_is_made_by_the_class_of_today(monkeypatch: pytest.MonkeyPatch) -> None:
    today = create_model("User", id=(int, ...), name=(str, ""), tags=(list[str], []), plan=(Plan, Plan.FREE))
    arrived = changed(monkeypatch, "User", today, User(id=1))
    assert type(arrived) is today
    assert arrived == today(id=1, name="anonymous")
    assert arrived.model_fields_set == {"id"}


def test_a_root_model_is_made_by_the_class_of_today(monkeypatch: pytest.MonkeyPatch) -> None:
    class Numbers(RootModel[list[float]]):
        pass

    assert changed(monkeypatch, "Numbers", Numbers, goods.Numbers([1, 2])) == Numbers([1.0, 2.0])


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (
            {"id": (int, ...), "name": (str, ""), "tags": (list[str], []), "plan": (Plan, ...)},
            "plan: Field required",
        ),
        ({"id": (int, ...), "name": (str, "")}, "User has no field tags any more"),
        ({"id": (date, ...), "name": (str, ""), "tags": (list[str], [])}, "id: "),
    ],
)
def test_a_model_that_no_longer_takes_its_fields_is_a_misfit(
    monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any], words: str
) -> None:
    with pytest.raises(LuggageMisfit, match=rf"typed\(\) cannot take 'value' from this job: (?!:).*{words}"):
        changed(monkeypatch, "User", create_model("User", **fields), User(id=1))


def test_a_dataclass_that_no_longer_takes_its_fields_is_a_misfit(monkeypatch: pytest.MonkeyPatch) -> None:
    grown = make_dataclass("Item", [("name", str), ("owner", Any), ("price", int, 5)])
    assert changed(monkeypatch, "Item", grown, Item("a")) == grown("a", None, 5)
    monkeypatch.undo()
    with pytest.raises(LuggageMisfit, match="Item has no field owner any more"):
        changed(monkeypatch, "Item", make_dataclass("Item", [("name", str)]), Item("a"))


def test_a_class_that_is_gone_is_a_misfit(monkeypatch: pytest.MonkeyPatch) -> None:
    text = Signature.of(typed).pack((Colour.RED,), {"more": Item("a")})
    monkeypatch.delattr(goods, "Item")
    with pytest.raises(
        LuggageMisfit, match=r"cannot take 'more' from this job: .*tests.specimens:Item is not there"
    ):
        Signature.of(typed).unpack(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '{"value":{"$":[]}}',
        '{"value":{"$":7}}',
        '{"value":{"$":["from the future",1]}}',
        '{"value":{"$":["of","os:system","true"]}}',
        '{"value":{"$":["model","builtins:dict",0,{}]}}',
        "[" * 100_000,
    ],
)
def test_a_damaged_row_is_a_misfit(text: str) -> None:
    with pytest.raises(LuggageMisfit, match=r"typed\(\)"):
        Signature.of(typed).unpack(text)


def test_a_damaged_value_is_a_misfit() -> None:
    with pytest.raises(LuggageMisfit, match="a stored value cannot be read"):
        unpack_value('{"$":["name","no.such.module:f"]}')


# The same in every process


def test_the_shape_of_a_class_is_the_same_in_every_process() -> None:
    code = """
from typing import Annotated
from pydantic import AfterValidator, BaseModel
from outlast.luggage.instances import shape_of
def check(value): return value
class Model(BaseModel):
    field: list[Annotated[int, AfterValidator(check)]]
print(shape_of((name, field.annotation) for name, field in Model.model_fields.items()))
"""
    shapes = {
        subprocess.check_output([sys.executable, "-c", f"pad = {'x' * n!r}\n{code}"]) for n in (1, 10**4)
    }
    assert len(shapes) == 1
    assert instances.shape_of([("a", int)]) != instances.shape_of([("a", str)])


def test_packing_plain_arguments_loads_no_pydantic() -> None:
    code = """
import sys
from outlast.luggage import Signature, pack_value
def task(a: str, b: int = 0): ...
signature = Signature.of(task)
signature.unpack(signature.pack(("x", [1, (2,), {3}]), {}))
print(sorted({"pydantic", "fastapi", "starlette", "sqlalchemy"} & set(sys.modules)))
"""
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "[]\n"
