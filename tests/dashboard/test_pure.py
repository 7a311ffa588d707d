"""What the pages work out without a store: the verdict, tracebacks, charts, what is sought."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from outlast.clock import ManualClock
from outlast.dashboard import charts, tracebacks
from outlast.dashboard.health import Facts, all_is_well, notices
from outlast.dashboard.sought import Sought
from outlast.dashboard.tracebacks import Frame
from outlast.handed import Handed
from outlast.job import State
from outlast.store import JobFilter, QueueRecord, open_store
from tests.contract.making import put, worker_record

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


# ---- the verdict -----------------------------------------------------------------------------------------------------


def queue(name="mail", **fields):
    plain = {"name": name, "paused_at": None, "queued": 0, "running": 0, "failed": 0}
    return QueueRecord(**(plain | fields))


@pytest.fixture
def facts():
    worker = worker_record("w1", ManualClock())
    return Facts(now=NOW, queues=[queue(queued=2, running=1)], alive=[worker], dead=[], oldest=None)


def told(facts, **changes):
    return [(notice.text, notice.is_bad) for notice in notices(replace(facts, **changes))]


def test_all_is_well_in_one_sentence(facts):
    assert told(facts) == []
    assert all_is_well(facts) == "All is well: 1 worker is up, 1 job runs, 2 jobs are queued."
    idle = replace(facts, queues=[], alive=[*facts.alive, *facts.alive])
    assert all_is_well(idle) == "All is well: 2 workers are up, nothing runs, nothing waits."


def test_nobody_works(facts):
    assert told(facts, alive=[]) == [("No worker is alive, and 2 jobs wait.", True)]
    assert told(facts, alive=[], queues=[]) == [("No worker is alive. Nothing waits for one now.", False)]


def test_a_queue_that_nobody_serves_and_one_that_is_paused(facts):
    only_web = [replace(facts.alive[0], queues=("web",))]
    paused = queue("web", paused_at=NOW, queued=1)

    assert told(facts, alive=only_web, queues=[queue(queued=2), paused, queue("empty", paused_at=NOW)]) == [
        ("No worker serves the queue mail: 2 jobs wait.", True),
        ("The queue web is paused: 1 job waits.", False),
    ]


def test_workers_that_start_nothing(facts):
    worker = facts.alive[0]

    assert told(facts, alive=[replace(worker, is_leaving=True)]) == [
        ("Every worker is shutting down: no job is started.", True)
    ]
    [(text, is_bad)] = told(facts, alive=[replace(worker, room=0)])
    assert (text[:45], is_bad) == ("No worker has a child that is ready: the app ", True)
    assert told(facts, alive=[replace(worker, room=0), worker]) == []
    [(text, is_bad)] = told(facts, dead=[worker])
    assert ("has died" in text, is_bad) == (True, False)


def test_where_all_is_handed_over_a_worker_needs_no_child_and_an_engine_serves_nothing(facts):
    everything = (Handed(queue=None, engine="rq", in_flight=9, lease=timedelta(minutes=1)),)
    relay = replace(facts.alive[0], room=0, handed=everything)
    process = replace(facts.alive[0], room=0, queues=(), engine="rq")

    assert told(facts, alive=[relay, process, process]) == []
    two_engines = [relay, process, replace(process, engine="celery")]
    assert all_is_well(replace(facts, alive=two_engines)).startswith(
        "All is well: 1 worker and 1 of celery and 1 of rq are up"
    )
    assert told(facts, alive=[process]) == [("No worker serves the queue mail: 2 jobs wait.", True)]
    assert told(facts, alive=[replace(relay, is_leaving=True), process])[-1] == (
        "Every worker is shutting down: no job is started.",
        True,
    )
    [(text, _)] = told(facts, alive=[relay, replace(relay, handed=())])
    assert text.startswith("No worker has a child that is ready")


def test_jobs_that_wait_long(facts):
    store = open_store("sqlite://", clock=ManualClock(NOW))
    oldest = store.get(put(store, queue="mail"))

    assert told(facts, oldest=oldest, now=NOW + timedelta(seconds=59)) == []
    late = {"oldest": oldest, "now": NOW + timedelta(minutes=5)}
    assert told(facts, **late) == [("Jobs wait long: app:task has been ready for 5 m.", False)]
    assert told(facts, **late, queues=[queue(paused_at=NOW)]) == []
    store.close()


def test_a_notice_leads_to_its_jobs_whatever_the_queue_is_called(facts):
    [notice] = notices(replace(facts, queues=[queue("a&b #1", paused_at=NOW, queued=1)]))

    assert notice.query == "state=queued&queue=a%26b+%231"


# ---- tracebacks ------------------------------------------------------------------------------------------------------


TRACE = """Traceback (most recent call last):
  File "/srv/shop/orders.py", line 48, in send
    deliver(to,
            ~~^
            order)
  File "/usr/lib/python3.12/site-packages/smtp.py", line 7, in deliver
    raise OSError
OSError: refused

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "<string>", line 1, in <module>
  File "/srv/shop/orders.py", line 50, in send
    raise Sorry from error
shop.Sorry: twice
  over two lines"""


def test_a_traceback_is_read_frame_by_frame():
    trace = tracebacks.read(TRACE)

    assert trace.parts == [
        Frame("/srv/shop/orders.py", "48", "send", "deliver(to,\n        order)", True),
        Frame("/usr/lib/python3.12/site-packages/smtp.py", "7", "deliver", "raise OSError", False),
        "OSError: refused\n\nThe above exception was the direct cause of the following exception:\n\n"
        "Traceback (most recent call last):",
        Frame("<string>", "1", "<module>", "", False),
        Frame("/srv/shop/orders.py", "50", "send", "raise Sorry from error", True),
        "shop.Sorry: twice\n  over two lines",
    ]
    assert not trace.is_cut


def test_what_is_no_traceback_is_told_as_it_is():
    assert tracebacks.read("no traceback: its child did not answer").parts == [
        "no traceback: its child did not answer"
    ]
    assert tracebacks.read("").parts == []


@pytest.mark.parametrize("text", ["x" * 2_000_000, "a\n" * 500_000, f"{TRACE}\n" * 5_000])
def test_of_a_long_one_the_beginning_and_the_end_are_shown(text):
    trace = tracebacks.read(text + "\nValueError: the end")

    assert trace.is_cut
    shown = "".join(part if isinstance(part, str) else part.source + part.file for part in trace.parts)
    assert len(shown) < 70_000
    assert str(trace.parts[-1]).endswith("ValueError: the end")


# ---- charts ----------------------------------------------------------------------------------------------------------


def test_bars_stand_on_each_other_and_reach_to_the_top():
    chart = charts.bars([(3, 1), (0, 0), (0, 2)], ("bad", "good"), ("a", "b", "c"))

    assert chart.most == 4
    assert [(bar.kind, bar.y, bar.height) for bar in chart.bars] == [
        ("bad", 25, 75),
        ("good", 0, 25),
        ("good", 50, 50),
    ]
    assert [spot.title for spot in chart.spots] == ["a", "b", "c"]
    assert all(bar.x >= 0 and bar.x + bar.width <= charts.WIDTH for bar in chart.bars)


def test_little_is_still_to_be_seen_and_nothing_is_not():
    chart = charts.bars([(1,), (100_000,), (0,)], ("b",))

    assert chart.bars[0].height == 1.5
    assert len(chart.bars) == 2
    assert charts.bars([], ("b",)).most == 0
    assert charts.bars([(0,)], ("b",)).bars == []


def test_lines_have_gaps_where_nothing_is_known():
    chart = charts.lines([[0, 10, None, None, 5, None]], ("line",), filled=True)

    assert chart.lines == [("line", "M50,100L150,0 M400,50L500,50")]
    assert chart.area.count("Z") == 2
    assert charts.lines([[None, None]], ("line",)).lines == [("line", "")]


# ---- what is sought --------------------------------------------------------------------------------------------------


def test_words_become_a_filter():
    words = {
        "state": "retrying",
        "queue": "mail",
        "task": " app:send ",
        "text": "bob",
        "error": "OSError",
        "x": "y",
    }
    sought = Sought.of(words)

    assert sought.filter(NOW) == JobFilter(
        view="retrying", queue="mail", task="app:send", text="bob", error="OSError"
    )
    assert Sought.of({"state": "failed"}).filter(NOW) == JobFilter(state=State.FAILED)
    assert Sought.of({"state": "eaten"}).filter(NOW) == JobFilter()


def test_times_are_those_of_the_reader():
    berlin = ZoneInfo("Europe/Berlin")
    sought = Sought.of({"since": "2026-01-01T10:00", "until": "2026-01-01T12:00:00+00:00"})

    which = sought.filter(NOW, berlin)

    assert which.since == datetime(2026, 1, 1, 9, tzinfo=UTC)
    assert which.until == NOW
    assert Sought.of({"added": "1h", "since": "2020-01-01"}).filter(NOW).since == NOW - timedelta(hours=1)


def test_a_query_is_made_of_what_is_sought_and_changed():
    sought = Sought(state="failed", queue="a&b")

    assert sought.query() == "state=failed&queue=a%26b"
    assert sought.query(state="", before="1") == "queue=a%26b&before=1"
    assert Sought.of(dict(pair.split("=") for pair in sought.query(queue="c").split("&"))) == replace(
        sought, queue="c"
    )
