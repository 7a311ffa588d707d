"""The log of the worker's processes, and what the environment says of it and of the grace."""

import logging
from datetime import timedelta

import pytest

from outlast.errors import OptionRefused
from outlast.queue import TaskQueue
from outlast.worker.app import settings_of
from outlast.worker.log import Form


def record(message: str, level: int = logging.INFO) -> logging.LogRecord:
    return logging.LogRecord("outlast.jobs", level, "", 0, message, None, None)


def test_a_line_has_the_form_of_uvicorns():
    assert Form(is_coloured=False).format(record("started id=1")) == "INFO:     outlast.jobs: started id=1"
    assert Form(is_coloured=False).format(record("no", logging.CRITICAL)) == "CRITICAL: outlast.jobs: no"


def test_on_a_terminal_the_level_and_the_word_of_an_ending_are_coloured():
    form = Form(is_coloured=True)

    assert form.format(record("failed id=1")).endswith("\x1b[31mfailed\x1b[0m id=1")
    assert form.format(record("failed id=1", logging.ERROR)).startswith("\x1b[31mERROR\x1b[0m:")
    assert form.format(record("other id=1")).endswith(" other id=1")


@pytest.fixture
def queue(tmp_path, monkeypatch):
    monkeypatch.delenv("OUTLAST_GRACE", raising=False)
    monkeypatch.delenv("OUTLAST_LOG_LEVEL", raising=False)
    return TaskQueue(store=f"sqlite:///{tmp_path / 'outlast.db'}", grace=timedelta(seconds=3))


def test_the_environment_has_the_last_word_on_grace_and_log_level(queue, monkeypatch):
    told = settings_of(queue)
    assert (told.grace, told.log_level) == (timedelta(seconds=3), "INFO")

    monkeypatch.setenv("OUTLAST_GRACE", "500ms")
    monkeypatch.setenv("OUTLAST_LOG_LEVEL", "debug")

    told = settings_of(queue)
    assert (told.grace, told.log_level) == (timedelta(milliseconds=500), "DEBUG")


@pytest.mark.parametrize(("name", "value"), [("OUTLAST_GRACE", "8"), ("OUTLAST_LOG_LEVEL", "loud")])
def test_what_makes_no_sense_there_is_refused_by_name(name, value, queue, monkeypatch):
    monkeypatch.setenv(name, value)

    with pytest.raises(OptionRefused, match=name):
        settings_of(queue)
