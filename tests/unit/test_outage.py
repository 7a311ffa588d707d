"""What is told of a store that fails, by a clock of the test's own."""

import pytest

from outlast.worker.outage import Outage


class Time:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time():
    return Time()


@pytest.fixture
def outage(time):
    return Outage(time)


def told(caplog):
    return [record.getMessage() for record in caplog.records]


def test_it_is_told_once_and_then_at_growing_intervals(outage, time, caplog):
    for second in range(20_000):
        time.now = float(second)
        outage.failed(OSError("away"))

    assert told(caplog) == [
        "store failed: away",
        *(
            f"store still fails after {after} s: away"
            for after in (60, 180, 420, 900, 1860, 3780, 7380, 10980, 14580, 18180)
        ),
    ]


def test_its_return_is_told_once_with_how_long_it_was_away(outage, time, caplog):
    time.now = 10.0
    outage.failed(OSError("away"))
    for time.now in (22.5, 23.5, 24.5):
        outage.went_well()

    assert told(caplog) == ["store failed: away", "store is back after 12.5 s"]

    outage.failed(OSError("again"))
    assert told(caplog)[2:] == ["store failed: again"]


def test_what_fails_while_other_things_go_well_is_one_outage(outage, time, caplog):
    for _ in range(20):
        time.now += 1.0
        outage.failed(OSError("away"))
        time.now += 0.5
        outage.went_well()

    assert told(caplog) == ["store failed: away"]


def test_a_store_that_is_well_is_not_spoken_of(outage, caplog):
    outage.went_well()
    outage.went_well()

    assert told(caplog) == []
