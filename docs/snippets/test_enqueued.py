from datetime import timedelta

from fastapi.testclient import TestClient
from outlast.testing import OutlastQueue
from shop import app, charge, letters, write  # your own app

client = TestClient(app)


def test_an_order_is_charged_for(outlast_queue: OutlastQueue):
    client.post("/orders/7?cents=990&email=you@example.com")

    job = outlast_queue.assert_enqueued(charge, order=7, cents=990)
    assert outlast_queue.run_job(job) == "receipt 7: 9.90"


def test_two_letters_are_written(outlast_queue: OutlastQueue):
    client.post("/orders/7?cents=990&email=you@example.com")

    outlast_queue.assert_enqueued(write, "you@example.com", subject="Thank you")
    outlast_queue.assert_enqueued(write.options(delay=timedelta(days=14)), "you@example.com")
    assert len(outlast_queue.enqueued(write)) == 2


def test_a_bad_order_leaves_nothing_to_do(outlast_queue: OutlastQueue):
    assert client.post("/orders/seven").status_code == 422

    outlast_queue.assert_not_enqueued()


def test_the_order_is_charged_for_before_the_letter_goes_out(outlast_queue: OutlastQueue):
    letters.clear()
    client.post("/orders/7?cents=990&email=you@example.com")

    ran = outlast_queue.drain()

    assert [record.task for record in ran] == ["shop:charge", "shop:write"]
    assert letters == ["Thank you, you@example.com"]
