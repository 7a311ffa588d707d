"""The log records of a child: a format of the user's may name the attempt that a line was written in."""

import copy
import io
import logging
from logging.handlers import QueueHandler
from queue import SimpleQueue

import pytest

from outlast.context import Carried
from outlast.job import Claimed
from outlast.worker import log_records
from outlast.worker.surroundings import Surroundings

ATTEMPT = Surroundings(Claimed("job-1", 2, "app:work", "{}", 1, None, None, 0, 0, None), Carried("7f3c"))
NO_REQUEST = Surroundings(Claimed("job-2", 1, "app:work", "{}", 0, None, None, 0, 0, None), Carried())
FORMATS = {
    "%": "%(job_id)s %(task)s %(attempt)s %(request_id)s: %(message)s",
    "{": "{job_id} {task} {attempt} {request_id}: {message}",
}


@pytest.fixture
def log():
    """A logger of the user's, in a process whose records are ours."""
    before = logging.getLogRecordFactory()
    log_records.install()
    logger = logging.getLogger("shop")
    logger.propagate = False
    yield logger
    logger.handlers.clear()
    logger.filters.clear()
    logging.setLogRecordFactory(before)


@pytest.fixture(params=FORMATS)
def lines(log, request):
    handler = logging.StreamHandler(stream := io.StringIO())
    handler.setFormatter(logging.Formatter(FORMATS[request.param], style=request.param))
    log.addHandler(handler)
    return lambda: stream.getvalue().splitlines()


def test_a_line_of_a_task_says_which_attempt_wrote_it(log, lines):
    with ATTEMPT:
        log.warning("sold %d", 3)
    with NO_REQUEST:
        log.warning("sold out")
    log.warning("closed")

    assert lines() == [
        "job-1 app:work 2 7f3c: sold 3",
        "job-2 app:work 1 -: sold out",
        "- - - -: closed",
    ]


def test_what_the_user_gives_by_extra_comes_first(log, lines):
    """`logging` itself refuses an extra that the record has already."""
    with ATTEMPT:
        log.warning("sold", extra={"request_id": "mine", "task": "selling"})

    assert lines() == ["job-1 selling 2 mine: sold"]


def test_a_filter_sees_it_before_the_line_is_put_into_words(log, lines):
    log.addFilter(lambda record: record.request_id == "7f3c" and not hasattr(record, "no_such"))

    with ATTEMPT:
        log.warning("sold")
    log.warning("closed")

    assert len(lines()) == 1


def test_a_line_that_another_thread_writes_later_belongs_to_the_attempt_all_the_same(log):
    log.addHandler(QueueHandler(queue := SimpleQueue()))
    with ATTEMPT:
        log.warning("sold")

    record = copy.copy(queue.get())

    assert logging.Formatter(FORMATS["%"]).format(record) == "job-1 app:work 2 7f3c: sold"
