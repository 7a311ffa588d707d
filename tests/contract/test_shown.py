"""What workers show to those who watch: their children, how deep the queues were, and sums of what was counted."""

from datetime import UTC, datetime, timedelta

from outlast.job import Erred
from outlast.statistics import MINUTE, PLACE, Count, count_end, count_start, nothing
from outlast.store import ChildRecord
from tests.contract.making import end, put, take

MINUTES = timedelta(minutes=1)
START = datetime(2026, 1, 1, tzinfo=UTC)


def test_a_worker_tells_of_its_children_and_that_it_lives(store, clock):
    before = {worker.id: worker for worker in store.workers()}["w1"]
    assert (before.children, before.seen_at) == ((), None)
    children = [
        ChildRecord(pid=7, standing="ready", memory=1 << 20, jobs=2, job_ids=("a", "b")),
        ChildRecord(pid=8, standing="starting", memory=None, jobs=0, job_ids=()),
    ]
    clock.advance(MINUTES)
    store.show_children("w1", children)

    told = {worker.id: worker for worker in store.workers()}
    assert told["w1"].children == tuple(children)
    assert told["w1"].seen_at == START + MINUTES
    assert told["w2"].children == ()


def test_depths_are_noted_by_the_minute_and_told_by_steps(store, clock):
    for count in (3, 0, 2):
        for _ in range(count):
            put(store, queue="mail")
        put(store, queue="other", waiting=1)
        store.note_depths()
        store.note_depths()  # by another worker
        clock.advance(MINUTES)
        for job in store.claim("w1", 10):
            end(store, job)

    assert store.past_depths(START) == {START: 4, START + MINUTES: 2, START + 2 * MINUTES: 5}
    assert store.past_depths(START, queue="mail") == {START: 3, START + 2 * MINUTES: 2}
    assert store.past_depths(START, step=timedelta(hours=1)) == {START: 5}
    assert store.past_depths(START + MINUTES) == {START + MINUTES: 2, START + 2 * MINUTES: 5}


def test_nothing_queued_is_noted_too_and_a_minute_without_a_worker_is_not(store, clock):
    store.note_depths()
    clock.advance(2 * MINUTES)

    assert store.past_depths(START) == {START: 0}


def test_what_is_noted_of_a_minute_is_the_last_of_it(store):
    put(store)
    store.note_depths()
    end(store, take(store), Erred("no", "tb"))
    store.note_depths()

    assert store.past_depths(START) == {START: 1}


def test_depths_are_forgotten_after_two_days(store, clock):
    store.note_depths()
    clock.advance(timedelta(hours=49))
    store.note_depths()

    assert store.past_depths(START) == {START + timedelta(hours=49): 0}


def counted(minute, task, queue="default", *, succeeded=0, retried=0):
    numbers = nothing()
    for ending, times in (("succeeded", succeeded), ("retried", retried)):
        for _ in range(times):
            count_start(numbers, 2_000)
            count_end(numbers, PLACE[ending], 40_000)
    return Count(minute, task, queue, numbers)


def test_statistics_are_summed_over_tasks_or_over_time(store, clock):
    begin = clock.now()
    store.count(
        [
            counted(begin, "app:a", succeeded=3),
            counted(begin, "app:b", "mail", succeeded=1, retried=1),
            counted(begin + MINUTE, "app:a", succeeded=2),
            counted(begin + MINUTE, "app:a", "mail", succeeded=1),
        ]
    )

    assert [(each.start, each.succeeded, each.retried, each.run.count) for each in store.summed(START)] == [
        (START, 4, 1, 5),
        (START + MINUTES, 3, 0, 3),
    ]
    assert [(each.task, each.succeeded) for each in store.summed(START, task="app:a")] == [
        ("app:a", 3),
        ("app:a", 3),
    ]
    assert [(each.start, each.succeeded) for each in store.summed(START, step=timedelta(hours=1))] == [
        (START, 7)
    ]
    assert [(each.task, each.queue, each.succeeded) for each in store.summed_by_task(START + MINUTES)] == [
        ("app:a", "default", 2),
        ("app:a", "mail", 1),
    ]
    assert store.successes(START) == {"app:a": {START: 3, START + MINUTES: 3}, "app:b": {START: 1}}
