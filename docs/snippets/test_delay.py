from fastapi.testclient import TestClient
from outlast.testing import OutlastQueue
from shop import app, letters  # your own app


def test_the_second_letter_goes_out_after_two_weeks(outlast_queue: OutlastQueue):
    letters.clear()
    with TestClient(app) as client:
        client.post("/orders/7?cents=990&email=you@example.com")

    outlast_queue.advance(days=13)
    assert letters == ["Thank you, you@example.com"]

    outlast_queue.advance(days=1)
    assert letters == ["Thank you, you@example.com", "Are you happy with it?, you@example.com"]
