"""How the relay hands native tasks over, by a clock that the test moves: to RQ, whose worker is away."""

from datetime import timedelta

import pytest
import rq
from redis import Redis

from outlast import TaskQueue
from outlast.clock import ManualClock
from outlast.handover import RQHandover
from outlast.handover.natives import Natives
from outlast.job import State, new_id
from tests.brokers import redis_url
from tests.contract.making import worker_record

DAY = timedelta(days=1)


def double(value):
    return value * 2


class Desk:
    """A TaskQueue with RQ's function `double`, and a relay at work in this process."""

    def __init__(self, store: str) -> None:
        self.clock = ManualClock()
        self.handover = RQHandover(Redis.from_url(redis_url()))
        self.rq = rq.Queue(f"test-{new_id()}", connection=self.handover.connection)
        self.queue = TaskQueue(store=store, worker="external", handover=self.handover, clock=self.clock)
        self.queue.tell(lambda store: store.enter(worker_record("w1", self.clock)))
        self.natives = Natives(self.queue, "w1")

    def add(self, **columns):
        """A job that calls `double`, unless the columns of its row say otherwise; its id."""
        row = self.queue.prepare(self.handover.rq_function(double, queue=self.rq.name), (21,), {})
        self.queue.tell(lambda store: store.insert([row._replace(**columns)]))
        return row.id

    def publish(self):
        """What is due now."""
        publisher = self.handover.publisher()
        for job in self.queue.tell(lambda store: store.offer(self.queue.handed)):
            self.natives.publish(publisher, self.handover, job)
        publisher.close()

    def job(self, job_id):
        return self.queue.ask(lambda store: store.get(job_id))

    def close(self):
        self.queue.close()
        self.rq.delete(delete_jobs=True)
        self.handover.connection.close()


@pytest.fixture
def desk(tmp_path):
    desk = Desk(f"sqlite:///{tmp_path / 'outlast.db'}")
    yield desk
    desk.close()


def test_what_the_broker_has_is_not_published_again_within_a_day(desk):
    job = desk.add()
    desk.publish()
    assert (desk.job(job).view, desk.job(job).note) == ("published", "handed over; its end is to come")

    desk.clock.advance(DAY - timedelta(seconds=1))
    desk.publish()
    assert (desk.job(job).view, desk.rq.count) == ("published", 1)


def test_of_what_has_no_end_after_a_day_nothing_is_known_and_it_is_not_run_again(desk):
    job = desk.add()
    desk.publish()
    desk.clock.advance(DAY)
    desk.rq.empty()
    desk.publish()

    assert desk.rq.count == 0
    record = desk.job(job)
    assert (record.state, record.error) == (
        State.FAILED,
        "what became of it is not known: rq tells no end of it",
    )


def test_a_native_task_that_the_code_lacks_waits_for_code_that_has_it(desk):
    """P10."""
    job = desk.add(task=f"rq/{desk.rq.name}/nowhere.double")
    desk.publish()
    record = desk.job(job)

    assert (record.state, record.attempt, desk.rq.count) == (State.QUEUED, 1, 0)
    assert record.note.startswith("nowhere.double cannot be imported")
    assert record.note.endswith("waits for code that has it")
    assert record.failures == 0
