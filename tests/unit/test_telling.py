"""What attempts tell: gathered, bounded, in time."""

import threading
from time import monotonic

from outlast.clock import SystemClock
from outlast.job import Claimed, Line, Step, Told
from outlast.store import LINES
from outlast.worker.telling import PAUSE, Teller, merged, told_from

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


def test_two_batches_of_an_attempt_become_one():
    both = merged(Told("a", 1, step(1), [line(1)]), Told("a", 1, None, [line(2)]))

    assert both == Told("a", 1, step(1), [line(1), line(2)])
    many = Told("a", 1, None, [line(number) for number in range(LINES)])
    assert len(merged(many, many).lines) == LINES


def test_the_times_of_a_child_are_put_forward_to_those_of_the_store():
    told = told_from(["a", 1, [1, None, None, 100], [[1, 200, 20, "app", "…"]]], 50)

    assert (told.step.at, told.lines[0].at) == (150, 250)
    assert told_from(["a", 1, None, []], 50) == Told("a", 1, None, [])
