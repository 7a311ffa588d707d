import pytest
import session  # your own app
from fastapi.testclient import TestClient
from outlast.testing import OutlastQueue
from sqlalchemy import create_engine
from sqlalchemy.orm import Session
from sqlalchemy.pool import StaticPool


@pytest.fixture
def client():
    engine = create_engine(
        "sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False}
    )
    session.Base.metadata.create_all(engine)

    def get_test_db():
        with Session(engine) as db:
            yield db

    session.app.dependency_overrides[session.get_db] = get_test_db
    yield TestClient(session.app)
    session.app.dependency_overrides.clear()


def test_an_order_is_confirmed(outlast_queue: OutlastQueue, client: TestClient):
    client.post("/orders?email=you@example.com")

    outlast_queue.assert_enqueued(session.send_confirmation, order_id=1)
