import pytest
import shop  # your own app
from outlast.testing import OutlastQueue


def test_a_bank_that_is_away_for_a_moment_is_asked_again(outlast_queue: OutlastQueue):
    job = shop.charge.enqueue(7, 990)
    outlast_queue.fail_next(shop.charge, ConnectionError("the bank is away"), times=2)

    outlast_queue.drain()  # what fail_next asks for is expected: it is not raised
    assert (job.state, job.error) == ("queued", "ConnectionError: the bank is away")

    outlast_queue.advance(minutes=1)
    assert (job.state, job.attempt) == ("succeeded", 3)


def test_a_bank_that_stays_away_fails_the_job(outlast_queue: OutlastQueue):
    job = shop.charge.enqueue(7, 990)
    outlast_queue.fail_next(shop.charge, ConnectionError, times=4)

    outlast_queue.advance(days=1)

    assert job.state == "failed"


def test_an_error_of_the_task_reaches_the_test(outlast_queue: OutlastQueue):
    shop.charge.enqueue(7, None)

    with pytest.raises(TypeError):
        outlast_queue.drain()
