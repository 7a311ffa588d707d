"""Brokers that lose messages, are away, hang, and come back: what is in the store is delivered all the same."""

import os
import signal
from datetime import timedelta

import pytest

from tests.brokers import RedisServer
from tests.handover.conftest import opened
from tests.handover.engines import CELERY_ON_REDIS, DRAMATIQ_ON_REDIS, RQ, Shift
from tests.stores import sqlite
from tests.worker.harness import stop

ON_REDIS = [CELERY_ON_REDIS, RQ, DRAMATIQ_ON_REDIS]


@pytest.fixture
def broker():
    """A Redis of the test's own, not started."""
    server = RedisServer()
    yield server
    server.kill()


@pytest.fixture(params=ON_REDIS, ids=str)
def own(request, broker, tmp_path):
    """A shift on that Redis."""
    with opened(request.param, sqlite, tmp_path, url=broker.url) as shift:
        yield shift


def published(shift, count=1):
    shift.house.until(lambda: shift.messages() == count, "the messages to be with the broker")


def test_a_message_that_the_broker_lost_is_published_again_after_its_lease(shift):
    shift.relay(lease=timedelta(seconds=1))
    job = shift.add("app:work", {"value": 1})
    published(shift)
    shift.wipe()
    shift.worker()

    assert shift.house.result(job) == 1
    assert shift.house.job(job).attempt == 1


def test_what_a_broker_that_is_away_does_not_take_waits_and_costs_nothing(own, broker):
    house = own.house
    relay = own.relay()
    jobs = [own.add("app:work", {"value": value}) for value in range(3)]
    line = house.logged(relay, "cannot be published")
    assert own.queue in line
    assert [house.job(job).attempt for job in jobs] == [0, 0, 0]

    broker.start()
    own.worker()
    assert house.results(jobs) == [0, 1, 2]
    assert house.logged(relay, "are published again")
    assert {house.job(job).failures for job in jobs} == {0}


def test_what_a_broker_lost_when_it_was_killed_is_published_again_once_it_is_back(own, broker):
    """Long before the lease is over: it is not trusted to have kept anything."""
    house = own.house
    broker.start()
    relay = own.relay(lease=own.HOUR)
    lost = own.add("app:work", {"value": "lost"})
    published(own)
    broker.kill()
    late = own.add("app:work", {"value": "late"})
    house.logged(relay, "cannot be published")
    broker.start()
    own.worker()

    assert house.results([lost, late]) == ["lost", "late"]


def test_nobody_waits_for_a_broker_that_is_not_there(shift):
    """Publishing is given up in seconds, by every client."""
    shift.env["BROKER"] = (
        "redis://127.0.0.1:1/0" if shift.kind.broker == "redis" else "amqp://guest:guest@127.0.0.1:1/"
    )
    relay = shift.relay()
    shift.add("app:work")
    shift.house.logged(relay, "cannot be published")


def test_a_broker_that_hangs_is_given_up_and_delays_nobody_else(own, broker):
    """P1: what the door commits goes through the supervisor, which waits for no broker."""
    house = own.house
    broker.start()
    relay = own.relay()
    own.worker()
    assert house.result(own.add("app:work", {"value": 1})) == 1
    broker.signal(signal.SIGSTOP)
    job = own.add("app:work", {"value": 2})
    assert house.logged(relay, "cannot be published")
    assert house.job(job).attempt == 0

    broker.signal(signal.SIGCONT)
    assert house.result(job) == 2


@pytest.mark.parametrize("shift", [RQ], ids=str, indirect=True)
def test_a_relay_that_is_killed_is_started_again_and_what_it_had_is_published(shift):
    house = shift.house
    supervisor = shift.relay(lease=Shift.HOUR)
    shift.worker()
    assert house.result(shift.add("app:work", {"value": 1})) == 1
    [relay] = house.children(supervisor.pid)
    stop(relay)
    job = shift.add("app:work", {"value": 2})
    house.reached(job, lambda record: record.view == "published", "was given to the relay")
    os.kill(relay, signal.SIGKILL)

    assert house.result(job) == 2
    assert house.children(supervisor.pid) != [relay]


@pytest.mark.parametrize("shift", [RQ], ids=str, indirect=True)
def test_a_supervisor_that_is_killed_takes_its_relay_with_it(shift):
    house = shift.house
    first = shift.relay()
    shift.worker()
    assert house.result(shift.add("app:work", {"value": 1})) == 1
    [relay] = house.children(first.pid)
    first.kill()
    job = shift.add("app:work", {"value": 2})
    shift.relay()

    assert house.result(job) == 2
    assert relay not in house.everybody()


@pytest.mark.parametrize("shift", [RQ], ids=str, indirect=True)
def test_a_relay_that_is_told_to_leave_publishes_what_it_has(shift):
    house = shift.house
    relay = shift.relay(lease=Shift.HOUR)
    jobs = [shift.add("app:work", {"value": value}) for value in range(20)]
    shift.house.until(shift.messages, "a message to be with the broker")
    assert relay.terminate() == 0
    shift.worker()

    assert house.results(jobs) == list(range(20))
