"""Jobs that an engine's own workers run, by their own commands: what comes of them is as everywhere."""

from datetime import timedelta

from outlast.job import Reason, State
from outlast.retry import RetryPolicy
from outlast.store import JobFilter

SOON = RetryPolicy(delay=timedelta(milliseconds=10))


def test_plain_and_async_tasks_return_their_values(served):
    plain, awaited = served.add("app:work", {"value": 1}), served.add("app:awork", {"value": [2]})

    assert served.house.results([plain, awaited]) == [1, [2]]


def test_a_job_says_which_engine_ran_it_and_as_what(served):
    job = served.add("app:work")
    served.house.ended(job)
    record = served.house.job(job)

    assert (record.engine, record.engine_id, record.attempt) == (served.kind.engine, f"{job}-1", 1)
    assert record.published_at <= record.started_at


def test_no_job_runs_in_the_relay_or_its_supervisor(served):
    relay = served.house.processes[0].pid
    pid = served.house.result(served.add("app:whoami"))

    assert pid not in {relay, *served.house.children(relay)}


def test_the_app_is_open_around_the_jobs_once_in_each_process(served):
    pid = served.house.result(served.add("app:whoami"))

    assert served.house.result(served.add("app:opened_in")) == pid
    opened = [note for note in served.house.diary("opened") if note.pid == pid]
    assert [note.more["in_worker"] for note in opened] == [True]


def test_dependencies_are_solved_around_the_job(served):
    job = served.add("app:depend", {"plus": 3})

    assert served.house.result(job) == 7
    assert [note.event for note in served.house.diary(job=job)] == ["before", "after"]


def test_an_error_is_retried_as_its_policy_says_and_keeps_its_traceback(served):
    job = served.add("app:err", {"times": 2}, retry=SOON)

    assert served.house.result(job) == 3
    attempts = served.house.store.attempts(job)
    assert [(each.attempt, each.outcome) for each in attempts] == [(1, "erred"), (2, "erred")]
    assert "ValueError: attempt 2 erred" in attempts[1].traceback
    assert served.house.job(job).engine_id == f"{job}-3"


def test_a_job_that_has_used_up_its_attempts_has_failed(served):
    record = served.house.ended(served.add("app:err", max_attempts=2, retry=SOON))

    assert (record.state, record.reason, record.attempt) == (State.FAILED, Reason.ERROR, 2)
    assert record.error == "ValueError: attempt 2 erred"


def test_a_job_that_snoozes_comes_again_and_has_not_failed(served):
    job = served.add("app:snooze_once")

    assert served.house.result(job) == 2
    assert served.house.job(job).failures == 0


def test_an_async_task_that_runs_out_of_time_is_stopped(served):
    job = served.add("app:ahold", {"door": "never"}, timeout=timedelta(seconds=0.2), max_attempts=1)
    record = served.house.ended(job)

    assert record.reason is Reason.TIMEOUT
    assert served.house.noted("cancelled", job)
    [attempt] = served.house.store.attempts(job)
    assert "ahold" in attempt.traceback


def test_an_async_task_that_is_cancelled_is_stopped(served):
    job = served.add("app:ahold", {"door": "never"})
    served.house.noted("started", job)
    served.house.store.cancel(JobFilter(ids=(job,)))

    assert served.house.ended(job).state is State.CANCELLED
    assert served.house.noted("cancelled", job)


def test_the_message_of_a_cancelled_job_is_dropped(served):
    house = served.house
    job = served.add("app:work", delay=timedelta(hours=1))
    house.store.cancel(JobFilter(ids=(job,)))
    served.publish(job, 1)

    assert house.result(served.add("app:work")) is None
    assert (house.job(job).state, house.diary("ran", job)) == (State.CANCELLED, [])


def test_jobs_of_one_request_first_start_in_their_order(served):
    """P7: each is published only when the one before it has ended its first attempt."""
    house = served.house
    first, second, third = served.chain(
        served.row("app:hold", {"door": "order"}),
        served.row("app:err", {"times": 1}, retry=SOON),
        served.row("app:work"),
    )
    house.noted("started", first)
    assert [house.job(job).view for job in (second, third)] == ["waiting", "waiting"]

    house.open("order")
    house.results([first, second, third])
    ends = [
        house.noted(event, job).at for event, job in (("done", first), ("started", second), ("ran", third))
    ]
    assert ends == sorted(ends)


def test_a_message_that_comes_twice_runs_once(served):
    """P4: each copy but one is dropped, while the job runs and when it has ended."""
    house = served.house
    job = served.add("app:ahold", {"door": "twice"})
    house.noted("started", job)
    served.publish(job, 1)
    house.open("twice")
    house.result(job)
    served.publish(job, 1)

    assert house.result(served.add("app:work")) is None
    assert house.starts(job) == [1]


def test_a_worker_that_was_taken_for_dead_ends_nothing_and_goes_on_as_another(served):
    """P4, P5: as when its lease was over, such as after a long sleep of its machine."""
    house = served.house
    job = served.add("app:hold", {"door": "rescued"})
    house.noted("started", job)
    [rescued] = house.store.rescue(house.job(job).worker)
    assert rescued.id == job
    house.open("rescued")

    assert house.result(job) == 2
    assert (house.starts(job), house.job(job).failures) == ([1, 2], 0)


def test_a_job_whose_task_the_code_lacks_waits_for_code_that_has_it(served):
    """P10: no unknown task is discarded."""
    job = served.add("app:lacking")
    record = served.house.reached(
        job, lambda record: record.attempt == 1 and record.note is not None, "was put back"
    )

    assert record.state is State.QUEUED
    assert "waits for a worker that has it" in record.note


def test_what_must_not_run_twice_runs_once(served):
    job = served.add("app:err", at_most_once=True)
    record = served.house.ended(job)

    assert (record.state, record.attempt) == (State.FAILED, 1)


def test_a_paused_queue_gives_no_job_to_its_engine(served):
    house = served.house
    house.store.pause(served.queue)
    job = served.add("app:work", {"value": 1})
    served.publish(job, 1)
    assert house.job(job).attempt == 0

    house.store.resume(served.queue)
    house.ring()
    assert house.result(job) == 1
