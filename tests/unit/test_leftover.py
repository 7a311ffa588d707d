"""What a worker leaves for others: tasks for good, jobs for a while, and a task with very many of those."""

from outlast.worker.leftover import Leftover


def test_a_job_is_left_until_others_have_had_it():
    leftover = Leftover()
    leftover.add_job("one", "app:task", due=30.0)
    leftover.add_job("two", "app:task", due=31.0)

    assert (leftover.tasks(now=31.9), set(leftover.jobs())) == (set(), {"one", "two"})
    assert (leftover.tasks(now=32.0), set(leftover.jobs())) == (set(), {"two"})
    assert (leftover.tasks(now=33.0), set(leftover.jobs())) == (set(), set())


def test_a_job_that_was_looked_at_again_is_left_again():
    leftover = Leftover()
    leftover.add_job("one", "app:task", due=0.0)
    leftover.add_job("two", "app:task", due=1.0)
    leftover.add_job("one", "app:task", due=30.0)

    assert (leftover.tasks(now=3.0), set(leftover.jobs())) == (set(), {"one"})


def test_a_task_of_which_very_many_do_not_fit_is_left_as_a_whole():
    leftover = Leftover()
    leftover.unknown.add("app:gone")
    for number in range(100):
        leftover.add_job(str(number), "app:task", due=float(number > 0))

    assert leftover.tasks(now=1.0) == {"app:gone", "app:task"}
    assert leftover.tasks(now=2.0) == {"app:gone"}
    assert len(leftover.jobs()) == 99


def test_other_code_is_asked_everything_anew():
    leftover = Leftover()
    leftover.unknown.add("app:gone")
    for number in range(100):
        leftover.add_job(str(number), "app:task", due=0.0)
    leftover.clear()

    assert (leftover.tasks(now=0.0), set(leftover.jobs())) == (set(), set())
