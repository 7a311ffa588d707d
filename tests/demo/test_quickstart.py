"""The README's example, as the file says it."""

import importlib
from pathlib import Path

import pytest
from fastapi.testclient import TestClient


def test_the_ten_lines_write_the_notification(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OUTLAST_WORKER", "inline")
    quickstart = importlib.reload(importlib.import_module("examples.quickstart"))

    with TestClient(quickstart.app) as client:
        answer = client.post("/send-notification/ada@example.com")

    assert answer.json() == {"message": "Notification sent in the background"}
    assert Path("log.txt").read_text() == "notification for ada@example.com: some notification"
