"""Jobs held by servers of other machines, whose locks nobody here can see."""

from __future__ import annotations

from datetime import timedelta

from outlast.clock import span
from tests.contract.making import worker_record
from tests.worker.harness import House

MINUTES = span(timedelta(minutes=2))


def test_a_server_on_a_machine_with_a_living_worker_is_left_to_that_one(house: House) -> None:
    """Break it: in chores._has_left, take no notice of who minds it."""
    store = house.store
    store.enter(worker_record("theirs", store.clock, premises="there"))
    now = store.clock.now()
    times = {"created_at": now - MINUTES}
    minded = house.add("app:work", held_by="there.server", **times)
    unminded = house.add("app:work", held_by="nowhere.server", **times)

    house.worker()

    house.result(unminded)
    assert house.job(minded).view == "held"


def test_a_server_on_a_machine_without_a_worker_has_a_minute(house: House) -> None:
    """It may only be busy: nobody can see whether it lives. Break it: in chores._has_left, go by the lock alone."""
    store = house.store
    now = store.clock.now()
    young = house.add("app:work", held_by="nowhere.young")
    old = house.add("app:work", held_by="nowhere.old", created_at=now - MINUTES)

    worker = house.worker()

    house.result(old)
    assert "server=nowhere.old" in house.logged(worker, "jobs let go")
    assert house.job(young).view == "held"
