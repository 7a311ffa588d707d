"""The state machine: what each end makes of a job, the caps, and that the drawing in the docs tells the truth."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outlast.job import (
    Crashed,
    Erred,
    Lost,
    Outcome,
    Reason,
    Released,
    Snoozed,
    State,
    Stopped,
    Succeeded,
    TimedOut,
)
from outlast.lifecycle import MAX_DEATHS, MAX_RESCUES, TRANSITIONS, Standing, ending, expiry
from outlast.retry import RetryPolicy, StoredPolicy

DRAWING = Path(__file__).parents[2] / "docs" / "lifecycle.md"
FRESH = Standing(
    failures=0, max_attempts=5, deaths=0, rescues=0, retry=None, at_most_once=False, cancel_requested=False
)
ERRED = Erred("ValueError: no", "Traceback …")

delays = st.integers(0, 10**12)
outcomes = st.one_of(
    st.builds(Succeeded, st.none() | st.just("1")),
    st.builds(Erred, st.just("no"), st.just("tb"), st.booleans(), st.none() | delays),
    st.builds(TimedOut, delays),
    st.builds(Crashed, st.just("signal 11"), st.booleans()),
    st.builds(Lost),
    st.builds(Released, st.none() | st.just("bye"), delays, st.booleans()),
    st.builds(Snoozed, delays),
    st.builds(Stopped),
)
standings = st.builds(
    Standing,
    failures=st.integers(0, 30),
    max_attempts=st.integers(1, 30),
    deaths=st.integers(0, MAX_DEATHS - 1),
    rescues=st.integers(0, MAX_RESCUES - 1),
    retry=st.sampled_from([None, RetryPolicy(factor=1e9).to_row()]),
    at_most_once=st.booleans(),
    cancel_requested=st.booleans(),
)
throws = st.floats(0, 1, exclude_max=True)


def event(job: Standing, outcome: Outcome) -> str:
    match outcome:
        case Succeeded():
            return "succeed"
        case Erred() | TimedOut() | Crashed():
            return "err"
        case Stopped() if job.cancel_requested:
            return "stop"
    return "release"


def test_the_drawing_in_the_docs_is_the_machine():
    arrows = re.findall(r"^ {4}(\w+) --> (\w+) : (\w+)$", DRAWING.read_text("utf-8"), re.MULTILINE)

    machine = {
        (str(before), str(after), name)
        for name, (befores, afters) in TRANSITIONS.items()
        for before in befores
        for after in afters
    }
    assert set(arrows) == machine
    assert len(arrows) == len(machine)


@given(standings, outcomes, throws)
def test_every_ending_lies_in_the_machine(job, outcome, dice):
    before, after = TRANSITIONS[event(job, outcome)]

    assert State.RUNNING in before
    assert ending(job, outcome, dice).state in after


@given(standings, outcomes, throws)
def test_a_failed_job_has_a_reason_and_no_other_has(job, outcome, dice):
    end = ending(job, outcome, dice)

    assert (end.state is State.FAILED) == (end.reason is not None)


@given(standings, outcomes, throws)
def test_a_failed_job_has_an_error(job, outcome, dice):
    end = ending(job, outcome, dice)

    assert end.state is not State.FAILED or end.error


@given(standings, outcomes, throws)
def test_an_ended_job_lets_the_one_behind_it_go(job, outcome, dice):
    end = ending(job, outcome, dice)

    assert end.opens or not end.state.ended


@given(standings, outcomes, throws)
def test_failures_and_deaths_rise_one_by_one(job, outcome, dice):
    end = ending(job, outcome, dice)

    assert end.failures - job.failures in (0, 1)
    assert end.deaths in (0, job.deaths, job.deaths + 1)
    assert end.rescues in (0, job.rescues, job.rescues + 1)


@given(standings, outcomes, throws)
def test_only_a_queued_job_waits_for_its_time(job, outcome, dice):
    end = ending(job, outcome, dice)

    assert end.wait >= 0
    assert end.wait == 0 or end.state is State.QUEUED


@given(standings, outcomes, throws)
def test_a_cancel_wins_over_everything_but_success(job, outcome, dice):
    end = ending(replace(job, cancel_requested=True), outcome, dice)

    assert end.state is (State.SUCCEEDED if isinstance(outcome, Succeeded) else State.CANCELLED)


@given(standings, outcomes, throws)
def test_an_at_most_once_job_that_has_begun_is_never_queued_again(job, outcome, dice):
    end = ending(replace(job, at_most_once=True), outcome, dice)

    never_begun = isinstance(outcome, Released) and not outcome.begun
    assert end.state is not State.QUEUED or never_begun


@pytest.mark.parametrize(
    "outcome", [Lost(), Released(), Snoozed(1), Crashed("signal 9", True), Crashed("signal 9", False)]
)
def test_an_at_most_once_job_whose_end_is_not_known_was_interrupted(outcome):
    end = ending(replace(FRESH, at_most_once=True), outcome, 0.5)

    assert (end.state, end.reason) == (State.FAILED, Reason.INTERRUPTED)
    assert end.error.endswith("at_most_once forbids another attempt")


def test_an_at_most_once_job_that_never_began_is_queued_again():
    end = ending(replace(FRESH, at_most_once=True), Released("its child went away", begun=False), 0.5)

    assert end.state is State.QUEUED


def test_an_error_is_retried_while_attempts_are_left():
    end = ending(replace(FRESH, failures=3), ERRED, 0.5)

    assert (end.state, end.failures) == (State.QUEUED, 4)
    assert end.wait == StoredPolicy.from_row(None).wait(4, 0.5)


def test_the_last_attempt_that_errs_fails_the_job():
    end = ending(replace(FRESH, failures=4), ERRED, 0.5)

    assert (end.state, end.failures, end.reason) == (State.FAILED, 5, Reason.ERROR)


def test_an_error_that_is_not_to_be_retried_fails_the_job_at_once():
    end = ending(FRESH, replace(ERRED, again=False), 0.5)

    assert (end.state, end.failures) == (State.FAILED, 1)


def test_a_task_may_choose_the_wait_itself():
    assert ending(FRESH, replace(ERRED, delay=7), 0.5).wait == 7


def test_an_error_keeps_its_traceback():
    end = ending(FRESH, ERRED, 0.5)

    assert (end.error, end.traceback) == (ERRED.error, ERRED.traceback)


def test_a_timeout_names_its_seconds():
    end = ending(replace(FRESH, max_attempts=1), TimedOut(1_500_000), 0.5)

    assert (end.reason, end.error) == (Reason.TIMEOUT, "timed out after 1.5 s")


@pytest.mark.parametrize("outcome", [Lost(), Released(), Snoozed(5), Stopped()])
def test_what_is_no_failure_costs_none(outcome):
    end = ending(replace(FRESH, failures=2, max_attempts=3), outcome, 0.5)

    assert (end.state, end.failures) == (State.QUEUED, 2)


def test_a_death_among_others_makes_a_suspect_and_no_failure():
    end = ending(FRESH, Crashed("signal 11", alone=False), 0.5)

    assert (end.state, end.failures, end.deaths, end.wait) == (State.QUEUED, 0, 1, 0)


def test_a_death_alone_is_a_failure():
    end = ending(replace(FRESH, deaths=1), Crashed("signal 11", alone=True), 0.5)

    assert (end.state, end.failures, end.deaths) == (State.QUEUED, 1, 2)


@pytest.mark.parametrize("alone", [True, False])
def test_the_third_death_is_poison(alone):
    job = replace(FRESH, max_attempts=100)
    for _ in range(MAX_DEATHS):
        end = ending(job, Crashed("signal 11", alone), 0.5)
        job = replace(job, failures=end.failures, deaths=end.deaths)

    assert (end.state, end.reason, end.deaths) == (State.FAILED, Reason.POISON, 3)


@pytest.mark.parametrize("outcome", [Succeeded(), ERRED, TimedOut(1), Snoozed(1)])
def test_an_end_of_its_own_clears_a_suspect(outcome):
    assert ending(replace(FRESH, deaths=2), outcome, 0.5).deaths == 0


@pytest.mark.parametrize("outcome", [Lost(), Released()])
def test_coming_back_unharmed_does_not_clear_a_suspect(outcome):
    assert ending(replace(FRESH, deaths=2), outcome, 0.5).deaths == 2


def test_a_job_is_given_up_after_twenty_rescues():
    job = FRESH
    for _ in range(MAX_RESCUES):
        assert job.rescues < MAX_RESCUES
        end = ending(job, Lost(), 0.5)
        job = replace(job, rescues=end.rescues)

    assert (end.state, end.reason, end.rescues) == (State.FAILED, Reason.RESCUES, 20)


def test_a_rescue_is_not_held_against_its_deaths():
    assert ending(replace(FRESH, rescues=5), Crashed("signal 11", True), 0.5).rescues == 5


@pytest.mark.parametrize("outcome", [Released(), Stopped()])
def test_a_release_does_not_let_the_one_behind_it_go(outcome):
    assert not ending(FRESH, outcome, 0.5).opens


@pytest.mark.parametrize("outcome", [Succeeded(), ERRED, TimedOut(1), Crashed("signal 11", False), Lost()])
def test_an_end_an_error_and_a_crash_let_the_one_behind_it_go(outcome):
    assert ending(FRESH, outcome, 0.5).opens


def test_a_release_says_why_and_when():
    end = ending(FRESH, Released("no worker knows its task", delay=9), 0.5)

    assert (end.note, end.wait) == ("no worker knows its task", 9)


def test_a_job_that_expires_has_failed_for_that_reason():
    end = expiry(2, 1, 3)

    assert end.state in TRANSITIONS["expire"][1]
    assert (end.reason, end.failures, end.deaths, end.rescues) == (Reason.EXPIRED, 2, 1, 3)
