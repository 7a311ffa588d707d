"""A team moves one queue at a time, there and back."""

from datetime import timedelta

import pytest

from outlast.handed import Handed
from outlast.job import State
from tests.handover.engines import RQ

LEASE = timedelta(seconds=2)


@pytest.fixture
def moving(shift):
    """Its queue is handed over, all others stay; the app says so, and a worker with a child of its own runs."""
    source = shift.house.folder / "app.py"
    source.write_text(
        source.read_text().replace("handover=handover)", 'handover={os.environ["QUEUE"]: handover})')
    )
    return shift


def worker(shift, *handed):
    return shift.house.worker(env=shift.env, children=1, handed=handed)


def mail(shift):
    return Handed(queue=shift.queue, engine="rq", in_flight=100, lease=LEASE)


on_rq = pytest.mark.parametrize("shift", [RQ], ids=str, indirect=True)


@on_rq
def test_one_queue_is_handed_over_and_the_others_are_not(moving):
    house = moving.house
    ours = worker(moving, mail(moving))
    moving.worker()
    there, here = moving.add("app:whoami"), house.add("app:whoami", queue="default")
    pid = house.result(here)

    assert house.result(there) != pid
    assert pid in house.children(ours.pid)
    assert (house.job(there).engine, house.job(here).engine) == ("rq", None)


@on_rq
def test_jobs_of_one_request_keep_their_order_across_both(moving):
    """P7: whoever runs them."""
    house = moving.house
    worker(moving, mail(moving))
    moving.worker()
    jobs = house.chain(
        [house.row("app:work", {"value": n}, queue=moving.queue if n % 2 else "default") for n in range(6)]
    )
    house.results(jobs)

    assert [note.more["value"] for note in house.diary("ran")] == list(range(6))


@on_rq
def test_a_queue_that_comes_back_takes_what_was_under_way_with_it(moving):
    """What its engine has taken it ends; the rest is run by Outlast's own workers once it counts as lost."""
    house = moving.house
    before = worker(moving, mail(moving))
    engine = moving.worker()
    begun = moving.add("app:hold", {"door": "front"})
    house.noted("started", begun)
    waits = moving.add("app:work", {"value": "waits"})
    house.until(lambda: moving.messages() == 1, "its message to be with the broker")
    assert before.terminate() == 0
    worker(moving)
    assert house.result(waits) == "waits"
    assert house.job(waits).engine is None

    house.open("front")
    assert house.result(begun) == 1
    engine.terminate()
    assert [note.more["value"] for note in house.diary("ran")] == ["waits"]


@on_rq
def test_a_queue_is_handed_over_with_what_waits_in_it(moving):
    house = moving.house
    ours = worker(moving)
    running, waits = moving.chain(
        moving.row("app:hold", {"door": "front"}), moving.row("app:work", {"value": 1})
    )
    house.noted("started", running)
    house.open("front")
    ours.terminate()
    worker(moving, mail(moving))
    moving.worker()

    assert house.results([running, waits])[1] == 1
    assert house.job(waits).state is State.SUCCEEDED
