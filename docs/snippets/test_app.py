import pytest
from fastapi.testclient import TestClient
from main import app, queue  # your own app


def test_a_notification_is_written(outlast_inline, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    with TestClient(app) as client:
        job_id = client.post("/send-notification/you@example.com").json()["job"]

        assert "notification for you@example.com" in (tmp_path / "log.txt").read_text()
        assert queue.job(job_id).state == "succeeded"


def test_the_error_of_a_task_reaches_the_test(outlast_inline, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "log.txt").mkdir()  # the task cannot write it

    with TestClient(app) as client, pytest.raises(IsADirectoryError):
        client.post("/send-notification/you@example.com")
