"""What running attempts tell: how far they are, and what they log."""

from datetime import timedelta

import pytest

from outlast.clock import to_instant
from outlast.job import Ended, Erred, Line, Progress, Step, Succeeded, Told
from outlast.store import LINES, JobFilter
from tests.contract.making import ERRED, end, put, take


def step(store, done, total=None, note=None):
    return Step(done, total, note, store.clock.now())


def lines(store, *numbers):
    return [Line(number, store.clock.now(), 20, "app", f"line {number}") for number in numbers]


def told(job, step=None, lines=()):
    return Told(job.id, job.attempt, step, list(lines))


def numbers(store, job_id, **options):
    return [(line.attempt, line.number) for line in store.log(job_id, **options)]


def run_again(store, job):
    end(store, job, Erred("no", "…", delay=0))
    return take(store)


def test_a_job_that_tells_nothing_has_neither_progress_nor_lines(store):
    job_id = put(store)

    assert store.get(job_id).progress is None
    assert store.log(job_id) == []


def test_progress_is_kept_with_the_job_and_stays_when_it_has_ended(store):
    put(store)
    job = take(store)

    store.keep([told(job, step(store, 3, 10, "reading"))])
    store.keep([told(job, step(store, 4, 10))])
    end(store, job)

    at = to_instant(store.clock.now())
    assert store.get(job.id).progress == Progress(done=4, total=10, note=None, at=at)


def test_the_progress_of_many_jobs_is_written_at_once(store):
    ids = [put(store) for _ in range(3)]
    jobs = store.claim("w1", 3)

    store.keep([told(job, step(store, number)) for number, job in enumerate(jobs)])

    assert [store.get(job_id).progress.done for job_id in ids] == [0, 1, 2]


def test_a_new_attempt_begins_without_the_progress_of_the_one_before(store):
    put(store)
    first = take(store)
    store.keep([told(first, step(store, 9))])

    second = run_again(store, first)

    assert store.get(first.id).progress is None
    store.keep([told(second, step(store, 1))])
    assert store.get(first.id).progress.done == 1


def test_what_an_attempt_tells_that_has_lost_the_fence_changes_nothing(store):
    """To see it fail: leave the attempt, or the state, out of the joins with jobs."""
    put(store)
    first = take(store)
    second = run_again(store, first)
    store.keep([told(second, step(store, 1), lines(store, 1))])

    store.keep([told(first, step(store, 9), lines(store, 7))])
    end(store, second)
    store.keep([told(second, step(store, 9), lines(store, 8))])

    assert store.get(first.id).progress.done == 1
    assert numbers(store, first.id) == [(2, 1)]


def test_lines_are_kept_as_they_were_written_over_all_attempts(store, clock):
    put(store)
    first = take(store)
    store.keep([told(first, lines=[Line(1, clock.now(), 30, "app.mail", "“héllo” \x1b[0m 日本")])])
    clock.advance(timedelta(seconds=1))
    second = run_again(store, first)
    store.keep([told(second, lines=lines(store, 1, 2))])

    log = store.log(first.id)

    assert [(line.attempt, line.number, line.level, line.logger) for line in log] == [
        (1, 1, 30, "app.mail"),
        (2, 1, 20, "app"),
        (2, 2, 20, "app"),
    ]
    assert log[0].text == "“héllo” \x1b[0m 日本"
    assert log[1].at - log[0].at == timedelta(seconds=1)


def test_lines_are_read_on_from_any_of_them(store):
    put(store)
    first = take(store)
    store.keep([told(first, lines=lines(store, 1, 2, 3))])
    second = run_again(store, first)
    store.keep([told(second, lines=lines(store, 1, 2))])

    assert numbers(store, first.id, after=(1, 2)) == [(1, 3), (2, 1), (2, 2)]
    assert numbers(store, first.id, after=(1, 2), limit=2) == [(1, 3), (2, 1)]
    assert numbers(store, first.id, after=(2, 2)) == []
    assert numbers(store, first.id, limit=2) == [(2, 1), (2, 2)]


@pytest.mark.parametrize("again", [False, True], ids=["one attempt", "two attempts"])
def test_the_last_lines_of_a_job_are_kept(store, again):
    put(store)
    job = take(store)
    store.keep([told(job, lines=lines(store, *range(1, LINES + 1)))])
    if again:
        job = run_again(store, job)

    store.keep([told(job, lines=lines(store, *range(LINES + 1, LINES + 11)))])

    kept = numbers(store, job.id, limit=LINES + 100)
    assert len(kept) == LINES
    assert (kept[0], kept[-1]) == ((1, 11), (job.attempt, LINES + 10))


def test_lines_that_were_kept_already_are_not_kept_twice(store):
    """A commit that was not confirmed is sent again."""
    put(store)
    job = take(store)

    for _ in range(2):
        store.keep([told(job, step(store, 1), lines(store, 1, 2))])

    assert numbers(store, job.id) == [(1, 1), (1, 2)]


def test_what_was_told_goes_with_its_job(store, clock):
    put(store)
    job = take(store)
    store.keep([told(job, step(store, 1), lines(store, 1))])
    end(store, job)
    clock.advance(timedelta(days=8))

    assert store.prune(timedelta(days=7)).jobs == 1

    assert store.log(job.id) == []


def test_what_may_have_changed_of_many_jobs_is_read_at_once(store):
    quiet, busy = put(store), put(store, delay=timedelta(hours=1))
    job = take(store)
    store.keep([told(job, step(store, 1, 2), lines(store, 1, 2))])
    gone = "00000000-0000-7000-8000-000000000000"

    seen = {each.id: each for each in store.watch([quiet, busy, gone])}

    assert seen.keys() == {quiet, busy}
    assert (seen[quiet].view, seen[quiet].attempt, seen[quiet].last_line) == ("running", 1, (1, 2))
    assert seen[quiet].progress == store.get(quiet).progress
    assert (seen[busy].view, seen[busy].progress, seen[busy].last_line) == ("scheduled", None, None)
    assert store.watch([]) == []


def test_a_failed_attempt_keeps_what_it_told(store):
    put(store, max_attempts=1)
    job = take(store)
    store.keep([told(job, step(store, 5, 10), lines(store, 1))])

    end(store, job, ERRED)

    assert store.get(job.id).progress.share == 0.5
    assert numbers(store, job.id) == [(1, 1)]


def test_jobs_that_a_task_adds_belong_to_the_owner_of_its_job(store):
    put(store, owner="ada")
    job = take(store)
    added = [put_later(store), put_later(store, owner="bob")]

    store.settle([Ended(job.id, job.attempt, Succeeded(None, tuple(added)))])

    assert [store.get(each.id).owner for each in added] == ["ada", "bob"]
    assert store.find(JobFilter(ids=(job.id,)))[0].owner == "ada"


def put_later(store, **fields):
    from tests.contract.making import new_job

    return new_job(store, **fields)
