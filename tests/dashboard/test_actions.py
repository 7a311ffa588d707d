"""What can be done from the pages: with one job, a queue, or all jobs that match."""

from __future__ import annotations

import json
import re
from datetime import date, timedelta
from html import unescape
from urllib.parse import urlencode

import pytest

from outlast.dashboard import bulk
from outlast.job import Erred, State, new_id
from outlast.luggage import Signature
from outlast.store import JobFilter
from tests.contract.making import end, ids, new_job, put, take
from tests.dashboard import shop
from tests.dashboard.conftest import OWN
from tests.dashboard.test_pages import words


def fail(store, job):
    end(store, job, Erred("ValueError: no", "tb", again=False))


def post(browser, path, data=None):
    """A form of the dashboard's own."""
    content = None if data is None else urlencode(data)
    return browser.post(f"/outlast/{path}", content=content, headers=OWN)


# ---- one job, one queue ----------------------------------------------------------------------------------------------


def test_a_failed_job_is_retried(browser, store):
    job_id = put(store)
    assert "/retry" not in browser.get(f"/outlast/jobs/{job_id}").text
    fail(store, take(store))
    assert f'action="../jobs/{job_id}/retry"' in browser.get(f"/outlast/jobs/{job_id}").text

    answer = post(browser, f"jobs/{job_id}/retry")

    assert (answer.status_code, answer.headers["location"]) == (303, f"../../jobs/{job_id}")
    assert store.get(job_id).view == "queued"


def test_a_job_is_cancelled_or_asked_to_stop(browser, store):
    running, queued = put(store, priority=1), put(store)
    store.claim("w1", 1)
    for job_id in (running, queued):
        assert post(browser, f"jobs/{job_id}/cancel").status_code == 303

    assert (store.get(running).view, store.get(queued).view) == ("cancelling", "cancelled")
    assert "/cancel" not in browser.get(f"/outlast/jobs/{running}").text


def test_what_is_not_there_cannot_be_changed(browser):
    for action in ("retry", "cancel", "again"):
        assert post(browser, f"jobs/{new_id()}/{action}", {"arguments": "{}"}).status_code == 404


def test_a_queue_is_paused_and_resumed(browser, store):
    name = "mail & more/é?"
    put(store, queue=name)
    [action] = re.findall(r'action="([^"]+pause[^"]+)"', browser.get("/outlast/").text)

    assert browser.post(f"/outlast/{unescape(action)}", headers=OWN).status_code == 303
    assert store.queues()[0].paused_at is not None
    [action] = re.findall(r'action="([^"]+resume[^"]+)"', browser.get("/outlast/").text)
    assert browser.post(f"/outlast/{unescape(action)}", headers=OWN).status_code == 303
    assert store.queues()[0].paused_at is None


# ---- again -----------------------------------------------------------------------------------------------------------


def added(store, func, *args, **kwargs):
    """A job of a task of the shop; its id."""
    luggage = Signature.of(func).pack(args, kwargs)
    return put(store, task=f"{shop.__name__}:{func.__name__}", luggage=luggage, queue="mail", max_attempts=3)


def edited(browser, job_id):
    """The arguments in the form."""
    text = browser.get(f"/outlast/jobs/{job_id}/again").text
    return unescape(re.search(r"<textarea[^>]*>(.*)</textarea>", text, re.DOTALL)[1])


def test_a_job_is_run_again_as_it_was(browser, store):
    job_id = added(store, shop.send, "bob", shop.Order(id=7), day=date(2026, 1, 1))

    answer = post(browser, f"jobs/{job_id}/again", {"arguments": edited(browser, job_id)})

    again = store.get(answer.headers["location"].rpartition("/")[2])
    assert again.id != job_id
    assert json.loads(again.luggage) == json.loads(store.get(job_id).luggage)
    assert (again.task, again.queue, again.max_attempts) == (f"{shop.__name__}:send", "mail", 3)


def test_a_job_is_run_again_with_other_arguments(browser, store):
    job_id = added(store, shop.send, "bob", shop.Order(id=7), day=date(2026, 1, 1))
    text = edited(browser, job_id).replace("bob", 'eve "é" 1 + 1 & <b>').replace('eve "é"', 'eve \\"é\\"')
    text = text.replace("2026-01-01", "2027-02-02")

    answer = post(browser, f"jobs/{job_id}/again", {"arguments": text})

    again = store.get(answer.headers["location"].rpartition("/")[2])
    args, kwargs = Signature.of(shop.send).unpack(again.luggage)
    assert (args, kwargs) == (
        (),
        {"to": 'eve "é" 1 + 1 & <b>', "order": shop.Order(id=7), "day": date(2027, 2, 2)},
    )
    assert len(store.find()) == 2


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"to": "bob"', "this is not JSON: Expecting ',' delimiter (line 1, column 13); correct it there"),
        ('["bob"]', "the arguments are an object"),
        ("", "this is not JSON"),
        ("{}", "needs 'to' now"),
        ('{"too": "bob"}', "send() has no parameter 'too'; did you mean 'to'?"),
        ('{"to": 5}', "cannot take 'to' from this job: Input should be a valid string"),
        (
            '{"to": "bob", "count": "many"}',
            "cannot take 'count' from this job: Input should be a valid integer",
        ),
        ('{"to": "bob", "count": NaN}', "has a value that JSON has no place for"),
        ('{"to": "bob", "order": {"$": ["model", "os:path", 1]}}', "os"),
        (
            '{"to": "bob", "order": {"$": ["model", "tests.dashboard.shop:Parcel", {"weight": 1}]}}',
            "tests.dashboard",
        ),
        ('{"to": {"$": ["file", "aa-1", null, [], 3]}}', "the job's own arguments name no 'aa-1'"),
        ('{"to": "bob", "day": {"$": ["date", "31.12."]}}', "cannot take 'day'"),
        ("[" * 100_000, ""),
    ],
)
def test_arguments_that_do_not_fit_are_refused_with_the_cure_and_kept(browser, store, text, why):
    """To see it fail: store what was sent as it is; the worker would find out."""
    job_id = added(store, shop.send, "bob")

    answer = post(browser, f"jobs/{job_id}/again", {"arguments": text})

    assert answer.status_code == 422
    assert why in words(answer)
    assert edited_in(answer) == text
    assert len(store.find()) == 1


def edited_in(answer):
    return unescape(re.search(r"<textarea[^>]*>(.*)</textarea>", answer.text, re.DOTALL)[1])


def test_a_class_of_the_job_itself_may_be_used_again(browser, store):
    job_id = added(store, shop.pack, shop.Parcel(weight=1.5))

    answer = post(
        browser, f"jobs/{job_id}/again", {"arguments": edited(browser, job_id).replace("1.5", "2.5")}
    )

    again = store.get(answer.headers["location"].rpartition("/")[2])
    assert Signature.of(shop.pack).unpack(again.luggage)[1] == {"parcel": shop.Parcel(weight=2.5)}


def test_words_and_keywords_without_end_may_be_changed(browser, store):
    job_id = added(store, shop.log, "a", "b", n=1)
    text = edited(browser, job_id)
    assert json.loads(text) == {"*": ["a", "b"], "**n": 1}

    answer = post(browser, f"jobs/{job_id}/again", {"arguments": '{"*": ["c"], "**n": 2, "**m": 3}'})

    again = store.get(answer.headers["location"].rpartition("/")[2])
    assert Signature.of(shop.log).unpack(again.luggage) == (("c",), {"n": 2, "m": 3})
    assert post(browser, f"jobs/{job_id}/again", {"arguments": '{"**n": "x"}'}).status_code == 422


def test_what_depends_fills_is_not_asked_for(browser, store):
    job_id = added(store, shop.sign, "contract")

    assert (
        post(browser, f"jobs/{job_id}/again", {"arguments": '{"paper": "x", "by": "Eve"}'}).status_code == 422
    )
    assert post(browser, f"jobs/{job_id}/again", {"arguments": '{"paper": "x"}'}).status_code == 303


def test_a_task_that_this_code_lacks_is_not_run_again(browser, store):
    job_id = put(store, task="gone:away")

    answer = post(browser, f"jobs/{job_id}/again", {"arguments": "{}"})

    assert answer.status_code == 422
    assert "gone" in words(answer)


# ---- all that match --------------------------------------------------------------------------------------------------


@pytest.fixture
def small_steps(monkeypatch):
    monkeypatch.setattr(bulk, "_STEP", 3)


def through(browser, action, query):
    """Answer the question with yes, and go on to the end; what the last page says, and how many steps it took."""
    page = browser.get(f"/outlast/bulk/{action}?{query}")
    steps = 0
    while found := re.search(r'<form method="post" action="\.\./([^"]+)"', page.text):
        page = browser.post(f"/outlast/{unescape(found[1])}", headers=OWN)
        assert page.status_code == 200
        steps += 1
    return words(page), steps


def test_all_failed_jobs_that_match_are_retried_in_steps(browser, store, small_steps):
    mine = [put(store, queue="mail") for _ in range(10)]
    other = put(store, queue="other")
    for job in store.claim("w1", 20):
        fail(store, job)

    told, steps = through(browser, "retry", "state=failed&queue=mail")

    assert "Queued again: 10 jobs" in told
    assert steps == 4
    assert ids(store.find(JobFilter(state=State.QUEUED))) == mine[::-1]
    assert store.get(other).state is State.FAILED


def test_retry_takes_failed_and_cancelled_ones_where_no_state_is_chosen(browser, store, small_steps):
    for _ in range(4):
        put(store)
    for job in store.claim("w1", 4):
        fail(store, job)
    store.insert([new_job(store) for _ in range(5)])
    store.cancel(JobFilter(state=State.QUEUED))

    told, _ = through(browser, "retry", "queue=default")

    assert "Queued again: 9 jobs" in told
    assert store.counts()["ready"] == 9


def test_all_that_match_are_cancelled(browser, store, small_steps):
    mine = [put(store, task="app:a") for _ in range(5)] + [put(store, task="app:a", delay=timedelta(hours=1))]
    put(store, task="app:b")
    store.claim("w1", 2)

    told, _ = through(browser, "cancel", "task=app:a")

    assert "Cancelled, or asked to stop: 6 jobs" in told
    assert sorted(store.get(job).view for job in mine) == ["cancelled"] * 4 + ["cancelling"] * 2
    assert store.counts()["ready"] == 1


def test_a_view_alone_is_cancelled(browser, store, small_steps):
    later = [put(store, delay=timedelta(hours=1)) for _ in range(4)]
    put(store)

    through(browser, "cancel", "state=scheduled")

    assert {store.get(job).view for job in later} == {"cancelled"}
    assert store.counts()["ready"] == 1


def test_all_that_match_are_deleted(browser, store, small_steps):
    for _ in range(8):
        put(store, luggage='{"to":"bob"}')
        end(store, take(store))
    kept = put(store, luggage='{"to":"eve"}')
    end(store, take(store))

    told, _ = through(browser, "delete", "state=succeeded&text=bob")

    assert "Deleted: 8 jobs" in told
    assert ids(store.find()) == [kept]


def test_one_job_is_deleted_from_its_page(browser, store):
    job_id, other = put(store), put(store)
    for job in store.claim("w1", 2):
        fail(store, job)
    [link] = re.findall(r'href="\.\./(bulk/delete[^"]+)"', browser.get(f"/outlast/jobs/{job_id}").text)

    assert "Delete 1 job?" in words(browser.get(f"/outlast/{unescape(link)}"))
    through(browser, "delete", link.partition("?")[2])

    assert ids(store.find()) == [other]


def test_the_files_of_deleted_jobs_go_with_them(browser, store, queue, monkeypatch):
    swept = []
    monkeypatch.setattr(queue, "sweep_files", swept.append)
    put(store, files='["a"]')
    end(store, take(store))

    through(browser, "delete", "state=succeeded")

    assert swept == [["a"]]


def test_what_comes_after_the_question_is_left_alone(browser, store):
    """To see it fail: forget what the clock said when the question was asked."""
    asked_about = put(store)
    page = browser.get("/outlast/bulk/cancel?queue=default").text
    later = put(store)
    [action] = re.findall(r'action="\.\./([^"]+)"', page)

    browser.post(f"/outlast/{unescape(action)}", headers=OWN)

    assert (store.get(asked_about).view, store.get(later).view) == ("cancelled", "queued")


def test_the_question_says_how_many_and_which(browser, store):
    for _ in range(3):
        put(store, queue="mail")

    told = words(browser.get("/outlast/bulk/cancel?queue=mail&state=ready"))

    assert "Cancel 3 jobs?" in told
    assert "State ready Queue mail" in told


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("bulk/eat", 404),
        ("bulk/retry?state=succeeded", 400),
        ("bulk/retry?id=abcdef", 400),
        ("bulk/delete?state=queued", 400),
    ],
)
def test_what_makes_no_sense_is_refused(browser, store, path, status):
    assert post(browser, path).status_code == status
