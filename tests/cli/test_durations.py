"""How durations, sizes and counts are written and read."""

from datetime import UTC, datetime, timedelta

import pytest

from outlast.clock import to_duration
from outlast.wording import counted, since, size, span

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("500ms", timedelta(milliseconds=500)),
        ("8s", timedelta(seconds=8)),
        (" 5m ", timedelta(minutes=5)),
        ("1.5h", timedelta(minutes=90)),
        ("7d", timedelta(days=7)),
        ("0s", timedelta(0)),
    ],
)
def test_a_duration_is_a_number_and_its_unit(text, duration):
    assert to_duration(text) == duration


@pytest.mark.parametrize("text", ["", "8", "8 s", "s", "-8s", "8sec", "8S", "1h30m", "nans", "1" * 20 + "d"])
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(ValueError, match=r"is no duration|longer than"):
        to_duration(text)


@pytest.mark.parametrize(
    ("duration", "told"),
    [
        (timedelta(0), "0 s"),
        (timedelta(milliseconds=3), "0.003 s"),
        (timedelta(milliseconds=240), "0.24 s"),
        (timedelta(seconds=9.96), "10 s"),
        (timedelta(seconds=59.4), "59 s"),
        (timedelta(seconds=59.6), "1 m"),
        (timedelta(seconds=90), "1.5 m"),
        (timedelta(seconds=3599.9), "1 h"),
        (timedelta(hours=36), "1.5 d"),
        (timedelta(days=100), "100 d"),
    ],
)
def test_a_duration_is_told_in_its_largest_unit(duration, told):
    assert span(duration) == told


def test_an_instant_is_told_by_how_far_it_is():
    assert since(NOW - timedelta(minutes=5), NOW) == "5 m ago"
    assert since(NOW + timedelta(minutes=5), NOW) == "in 5 m"


def test_sizes_and_counts():
    assert [size(0), size(999), size(57_344), size(3_200_000_000_000)] == [
        "0 B",
        "999 B",
        "57.3 kB",
        "3200.0 GB",
    ]
    assert [counted(1, "job"), counted(0, "job"), counted(1200, "job")] == ["1 job", "0 jobs", "1,200 jobs"]
