from main import write_notification  # your own task


def test_the_notification_names_the_address(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    write_notification("you@example.com", message="hello")

    assert (tmp_path / "log.txt").read_text() == "notification for you@example.com: hello\n"
