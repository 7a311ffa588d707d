"""What attempts tell: gathered, bounded, in time."""

import threading
from time import monotonic

import pytest

from outlast.clock import SystemClock
from outlast.errors import NotConfirmed, StoreUnusable
from outlast.job import Claimed, Line, Step, Told
from outlast.store import LINES
from outlast.worker.telling import PAUSE, Teller, Unwritten, told_from

JOB = Claimed("job-1", 1, "app:work", "{}", 0, None, None, 0, 0, None)
OTHER = JOB._replace(id="job-2")


def step(done):
    return Step(done, None, None, 0)


def line(number, text="…"):
    return Line(number, 0, 20, "app", text)


class Sent(list):
    """What a Teller sends; `some` is set with the first batch."""

    def __init__(self):
        self.some = threading.Event()

    def __call__(self, batch):
        self.append(batch)
        self.some.set()


def test_whoever_tells_without_end_is_written_five_times_a_second_at_most():
    """Break it: leave the pause out."""
    sent = Sent()
    teller = Teller(sent, SystemClock())
    begun, number = monotonic(), 0
    while monotonic() < begun + 3 * PAUSE:
        teller.step(JOB, step(number := number + 1))
        teller.step(OTHER, step(number))
    teller.flush(JOB)

    of_job = [told for batch in sent for told in batch if told.id == JOB.id]
    assert 2 <= len(of_job) <= (monotonic() - begun) / PAUSE + 2
    assert of_job[-1].step.done == number


def test_the_first_word_of_many_jobs_goes_at_once_and_together_if_it_can():
    sent = Sent()
    teller = Teller(sent, SystemClock())

    teller.step(JOB, step(1))

    assert sent.some.wait(timeout=10)
    assert sent[0][0] == Told(JOB.id, 1, step(1), [])


def test_an_end_waits_for_the_batch_that_is_under_way():
    """Its outcome must not come before what it told. Break it: take what was told without holding `_sending`."""
    begun, go_on, order = threading.Event(), threading.Event(), []

    def send(batch):
        begun.set()
        go_on.wait(10)
        order.append("told")

    teller = Teller(send, SystemClock())
    teller.step(JOB, step(1))
    assert begun.wait(10)
    ending = threading.Thread(target=lambda: (teller.flush(JOB), order.append("ended")))
    ending.start()
    go_on.set()
    ending.join(10)

    assert order == ["told", "ended"]


def test_a_batch_is_bounded_in_lines_and_in_text():
    held, sent = threading.Event(), []

    def send(batch):
        sent.extend(batch)
        held.wait(10)

    teller = Teller(send, SystemClock())
    teller.step(OTHER, step(1))
    for number in range(1, 2 * LINES + 1):
        teller.line(JOB, line(number))
    for number in range(1, 1001):
        teller.line(OTHER, line(number, "x" * 4000))
    held.set()
    teller.flush(JOB)
    teller.flush(OTHER)

    assert all(len(told.lines) <= LINES for told in sent)
    assert all(sum(len(line.text) for line in told.lines) <= 262_144 for told in sent)
    last = {told.id: told.lines[-1].number for told in sent if told.lines}
    assert last == {JOB.id: 2 * LINES, OTHER.id: 1000}


class Shelf:
    """A store that takes what is told, but of some jobs, and but for some time."""

    def __init__(self, *refused, error=ValueError):
        self.kept, self.refused, self.error = [], refused, error

    def keep(self, told):
        if any(each.id in self.refused for each in told):
            raise self.error("no")
        self.kept += told


def unwritten(*batches):
    found = Unwritten()
    for told in batches:
        found.add(told)
    return found


def test_two_batches_of_an_attempt_become_one():
    shelf = Shelf()
    unwritten(Told("a", 1, step(1), [line(1)]), Told("a", 1, None, [line(2)])).write(shelf)

    assert shelf.kept == [Told("a", 1, step(1), [line(1), line(2)])]
    many = Told("b", 1, None, [line(number) for number in range(LINES)])
    unwritten(many, many).write(shelf)
    assert len(shelf.kept[-1].lines) == LINES


def test_what_was_written_is_forgotten_when_that_is_committed():
    waiting = unwritten(Told("a", 1, step(1), []))
    waiting.write(Shelf())
    assert waiting

    waiting.clear()

    assert not waiting
    waiting.write(shelf := Shelf())
    assert shelf.kept == []


def test_what_cannot_be_written_of_one_is_lost_and_takes_nothing_else_with_it():
    waiting = unwritten(*(Told(name, 1, step(1), []) for name in "abc"))
    shelf = Shelf("b")

    waiting.write_one_by_one(shelf)

    assert [told.id for told in shelf.kept] == ["a", "c"]
    assert not waiting


@pytest.mark.parametrize("error", [NotConfirmed, StoreUnusable])
def test_what_a_store_that_is_away_did_not_take_waits(error):
    waiting = unwritten(*(Told(name, 1, step(1), []) for name in "abc"))

    with pytest.raises(error):
        waiting.write_one_by_one(Shelf("b", error=error))

    waiting.write_one_by_one(shelf := Shelf())
    assert [told.id for told in shelf.kept] == ["b", "c"]


def test_the_times_of_a_child_are_put_forward_to_those_of_the_store():
    told = told_from(["a", 1, [1, None, None, 100], [[1, 200, 20, "app", "…"]]], 50)

    assert (told.step.at, told.lines[0].at) == (150, 250)
    assert told_from(["a", 1, None, []], 50) == Told("a", 1, None, [])
