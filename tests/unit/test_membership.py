"""What a worker tells its store of itself: once, and anew where the store has forgotten it."""

from datetime import timedelta

import pytest

from outlast.store import open_store
from outlast.worker.membership import Membership, Standing

STANDING = Standing(room=3, unknown=("app:task",))


@pytest.fixture
def store():
    store = open_store("sqlite://")
    yield store
    store.close()


@pytest.fixture
def membership(store):
    membership = Membership(None, queues=None, slots=8, lease=timedelta(seconds=30))
    membership.enter(store)
    return membership


def told(store):
    worker = store.workers()[-1]
    return Standing(worker.room, worker.unknown, worker.is_leaving)


def test_what_the_store_was_told_is_no_news(store, membership):
    assert membership.has_news(STANDING)

    membership.report(store, STANDING)
    membership.told = STANDING

    assert told(store) == STANDING
    assert not membership.has_news(STANDING)
    assert membership.has_news(STANDING._replace(room=2))


def test_a_worker_that_begins_anew_tells_everything_again(store, membership):
    membership.told = STANDING
    membership.begin_anew()
    assert not membership.has_news(STANDING)  # nobody knows us

    membership.enter(store)

    assert membership.has_news(STANDING)
