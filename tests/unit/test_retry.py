"""RetryPolicy: which errors, how long, and that a row says the same as the policy it was made from."""

import math
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outlast.clock import span
from outlast.errors import OptionRefused
from outlast.retry import DEFAULT, RetryPolicy, StoredPolicy

SECOND = 1_000_000
throws = st.floats(0, 1, exclude_max=True)
delays = st.timedeltas(timedelta(0), timedelta(days=400))


def stored(**fields) -> StoredPolicy:
    return StoredPolicy.from_row(RetryPolicy(**fields).to_row())


def test_the_first_retry_comes_after_about_a_second():
    policy = StoredPolicy.from_row(None)

    assert policy.wait(1, 0.0) == 0.75 * SECOND
    assert policy.wait(1, 0.5) == SECOND


def test_the_wait_grows_by_the_factor():
    policy = stored(delay=timedelta(seconds=2), factor=4)

    assert [policy.wait(failures, 0.5) for failures in (1, 2, 3)] == [2 * SECOND, 8 * SECOND, 32 * SECOND]


@given(delays, st.floats(1, 1e300), delays, st.integers(1, 10_000), throws)
def test_no_wait_is_longer_than_the_longest(delay, factor, more, failures, dice):
    policy = stored(delay=delay, factor=factor, max_delay=delay + more)

    assert 0 <= policy.wait(failures, dice) <= span(delay + more)


def test_jobs_that_have_failed_often_do_not_come_back_together():
    """The longest wait is thrown for, too: capped after the throw, all of them would return at the same moment."""
    policy = StoredPolicy.from_row(None)

    assert policy.wait(50, 0.99) - policy.wait(50, 0.0) > 20 * 60 * SECOND


def test_no_delay_stays_none_however_often_it_fails():
    policy = stored(delay=timedelta(0), factor=1e300)

    assert [policy.wait(failures, 0.9) for failures in (1, 2, 1000)] == [0, 0, 0]


def test_the_default_policy_takes_no_room_in_a_row():
    assert DEFAULT.to_row() is None
    assert StoredPolicy.from_row(None) == StoredPolicy(
        SECOND, 3.0, 3600 * SECOND, ("builtins:Exception",), ()
    )


def test_a_row_says_what_its_policy_said():
    row = RetryPolicy(
        delay=timedelta(seconds=3),
        factor=1.5,
        max_delay=timedelta(minutes=2),
        on=(OSError, ValueError),
        never=(FileNotFoundError,),
    ).to_row()

    assert StoredPolicy.from_row(row) == StoredPolicy(
        3 * SECOND,
        1.5,
        120 * SECOND,
        ("builtins:OSError", "builtins:ValueError"),
        ("builtins:FileNotFoundError",),
    )


@pytest.mark.parametrize(
    ("error", "is_covered"),
    [
        (ConnectionResetError("a subclass"), True),
        (OSError("itself"), True),
        (FileNotFoundError("excepted, though a subclass"), False),
        (ValueError("not named"), False),
    ],
)
def test_a_policy_covers_the_named_errors_and_their_subclasses(error, is_covered):
    assert stored(on=(OSError,), never=(FileNotFoundError,)).covers(error) is is_covered


def test_by_default_an_error_is_covered_and_an_exit_is_not():
    policy = StoredPolicy.from_row(None)

    assert policy.covers(ValueError())
    assert not policy.covers(SystemExit())
    assert not policy.covers(KeyboardInterrupt())


@pytest.mark.parametrize(
    "fields",
    [
        {"delay": timedelta(seconds=-1)},
        {"max_delay": timedelta(milliseconds=1)},
        {"factor": 0.5},
        {"factor": math.nan},
        {"factor": math.inf},
    ],
)
def test_a_wait_that_makes_no_sense_is_refused(fields):
    with pytest.raises(OptionRefused, match="must not be negative"):
        RetryPolicy(**fields)


@pytest.mark.parametrize("errors", [ValueError, [ValueError], ("ValueError",), (ValueError(),), (int,)])
@pytest.mark.parametrize("name", ["on", "never"])
def test_what_are_no_exception_classes_is_refused(name, errors):
    with pytest.raises(OptionRefused, match=f"{name}=.*give a tuple of exception classes"):
        RetryPolicy(**{name: errors})
