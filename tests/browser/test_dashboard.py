"""The dashboard in a real browser: each page, what changes by itself, each action, keys, a telephone, hostile jobs."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from axe_playwright_python.sync_playwright import Axe
from fastapi import FastAPI
from fastapi.responses import HTMLResponse
from playwright.sync_api import expect

from outlast.dashboard import bulk
from outlast.handed import Handed
from outlast.job import Ended, Erred, Line, State, Step, Succeeded, Told
from outlast.luggage import Signature
from outlast.statistics import PLACE, Count, count_end, count_start, nothing
from outlast.store import ChildRecord, JobFilter
from tests.browser.chromium import new_window
from tests.browser.conftest import served
from tests.contract.making import end, ids, new_chain, put, take, worker_record
from tests.dashboard import shop
from tests.dashboard.test_pages import MARKUP
from tests.polling import polled

TRACE = f"""Traceback (most recent call last):
  File "{shop.__file__}", line 7, in send
    deliver(to)
  File "/usr/lib/python3/site-packages/smtp.py", line 70, in deliver
    raise ConnectionRefusedError("smtp.example.com")
ConnectionRefusedError: smtp.example.com"""


@pytest.fixture
def jobs(store):
    """Some of everything that a page can show; ids by name."""
    store.insert(
        new_chain(store, 3, task="app:import_orders", priority=5, luggage='{"file":"orders.csv","day":1}')
    )
    first, failing = (
        store.claim("w1", 1)[0],
        put(store, task="app:send_receipt", queue="mail", luggage='{"to":"bob"}'),
    )
    store.keep(
        [
            Told(
                first.id,
                1,
                Step(40, 100, "orders.csv", 1),
                [Line(1, 1_700_000_000_000_000, 20, "app", "begun")],
            )
        ]
    )
    end(
        store,
        store.claim("w1", 1, queues=["mail"])[0],
        Erred("ConnectionRefusedError: smtp", TRACE, again=False),
    )
    done = put(store, task="app:resize", queue="media")
    end(store, store.claim("w1", 1, queues=["media"])[0], Succeeded('{"width":640}'))
    store.show_children(
        "w1", [ChildRecord(pid=7, standing="ready", memory=50_000_000, jobs=1, job_ids=(first.id,))]
    )
    numbers = nothing()
    for ending in ("succeeded", "retried", "failed_error"):
        count_start(numbers, 10_000)
        count_end(numbers, PLACE[ending], 90_000)
    minute = store.clock.now() - store.clock.now() % 60_000_000
    store.count([Count(minute - back * 60_000_000, "app:resize", "media", numbers) for back in range(50)])
    store.note_depths()
    store.pause("media")
    celery = Handed(queue="news", engine="celery", in_flight=9, lease=timedelta(minutes=1))
    store.enter(worker_record("w2", store.clock, handed=(celery,)))
    store.enter(worker_record("p1", store.clock, queues=(), engine="celery"))
    by_engine = put(store, task="app:print_news", queue="news")
    store.offer([celery])
    store.claim_published("p1", by_engine, 1, engine="celery")
    published = put(store, task="app:send_news", queue="news")
    store.offer([celery])
    waiting = store.find(JobFilter(view="waiting"))[0]
    return {
        "running": first.id,
        "failed": failing,
        "succeeded": done,
        "waiting": waiting.id,
        "published": published,
    }


PAGES = [
    "",
    "?period=day",
    "jobs",
    "jobs?state=failed",
    "jobs?task=nobody:knows",
    "jobs/{running}",
    "jobs/{failed}",
    "jobs/{succeeded}",
    "jobs/{waiting}",
    "jobs/{published}",
    "jobs/{failed}/again",
    "bulk/retry?state=failed",
    "tasks",
    "tasks?task=app:resize",
    "failures",
]


# ---- each page -------------------------------------------------------------------------------------------------------


RULES = {
    "light": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]},
    "dark": {"type": "rule", "values": ["color-contrast"]},  # the rest is as it is in the light
}


@pytest.mark.parametrize("scheme", RULES)
def test_no_page_bars_anybody(window, base, jobs, scheme):
    """Axe finds nothing, in both themes: names, roles, order, contrast of 4.5 to 1. No page breaks its own policy.

    To see it fail: make `--muted` a little lighter, or take the label off the choice of a queue.
    """
    page = window.page(f"{base}/")
    page.emulate_media(color_scheme=scheme)
    told = []
    for rest in PAGES:
        page.goto(f"{base}/{rest.format(**jobs)}")
        found = Axe().run(page, options={"runOnly": RULES[scheme]})
        told += [
            f"{rest}: {each['id']}: {node['html'][:150]} {node['failureSummary'][:200]}"
            for each in found.response["violations"]
            for node in each["nodes"]
        ]
    assert told == []


WIDER = "[...document.querySelectorAll('main *')].filter(e => e.getBoundingClientRect().right > 361 && !e.closest('.scroll, .tabs, .trace, .code')).map(e => e.outerHTML.slice(0, 120))"  # noqa: E501


def test_no_page_is_wider_than_a_telephone(chromium, base, jobs):
    """To see it fail: let a table or a traceback stretch its card."""
    with new_window(
        chromium, viewport={"width": 360, "height": 740}, is_mobile=True, has_touch=True
    ) as telephone:
        page = telephone.page(f"{base}/")
        for rest in PAGES:
            page.goto(f"{base}/{rest.format(**jobs)}")
            assert (rest, page.evaluate(WIDER)) == (rest, [])
            assert page.evaluate("document.documentElement.scrollWidth") <= 360
            for link in page.locator("nav.nav a, .actions button").all():
                assert link.bounding_box()["height"] >= 24
        assert telephone.problems == []


LOOK = "htmx.trigger(document.getElementById('live'), 'every')"
"""What the page does by itself when its time has come."""


# ---- live ------------------------------------------------------------------------------------------------------------


def test_pages_change_without_being_loaded_again(look, store, jobs):
    overview, listed, one = look(), look("jobs?queue=mail"), look(f"jobs/{jobs['running']}")
    for page in (overview, listed, one):
        page.evaluate("window.isFirst = true")
    expect(one.locator(".title .state")).to_have_text("running")
    expect(one.get_by_role("progressbar")).to_have_attribute("value", "0.4000")

    new = put(store, queue="mail", task="app:brand_new")
    store.keep([Told(jobs["running"], 1, Step(90, 100, "nearly", 1), [Line(2, 1, 30, "app", "slow disk")])])

    expect(overview.get_by_role("row", name=re.compile("^mail")).get_by_role("cell").first).to_have_text("1")
    expect(listed.locator(f"#j{new}")).to_contain_text("brand_new")
    expect(one.get_by_role("progressbar")).to_have_attribute("value", "0.9000")
    expect(one.get_by_role("group", name="Log")).to_contain_text("slow disk")
    [(job_id, attempt)] = store.running("w1")
    store.settle([Ended(job_id, attempt, Succeeded())])
    expect(one.locator(".title .state")).to_have_text("succeeded")
    assert [page.evaluate("window.isFirst") for page in (overview, listed, one)] == [True] * 3


def test_what_the_reader_has_opened_or_types_is_left_alone(look, store, jobs):
    """To see it fail: let the morph copy `open`, too."""
    page = look(f"jobs/{jobs['failed']}")
    page.get_by_text("Attempt 1 erred").last.click()
    expect(page.locator("details.fold")).not_to_have_attribute("open", "")
    store.retry(JobFilter(ids=(jobs["failed"],)))
    came_anew = "document.querySelector('.title .state').textContent === 'queued'"
    assert polled(lambda: page.evaluate(f"{LOOK}, {came_anew}"), 10)  # the answer of this second may be old
    expect(page.locator("details.fold")).not_to_have_attribute("open", "")

    listed = look("jobs")
    listed.get_by_label("Argument text").fill("half typed")
    with listed.expect_response(re.compile("/jobs")):
        listed.evaluate(LOOK)
    expect(listed.get_by_label("Argument text")).to_have_value("half typed")


def test_nothing_is_asked_for_while_the_reader_has_stopped_it(look, store, jobs):
    page = look()
    asked = []
    page.get_by_role("button", name="Live").click()
    expect(page.get_by_role("button", name="Paused")).to_have_attribute("aria-pressed", "false")
    page.on("request", lambda request: asked.append(request.url))
    page.evaluate(LOOK)
    assert asked == []
    page.get_by_role("button", name="Paused").click()
    with page.expect_response(re.compile(r"/outlast/\?")):
        page.evaluate(LOOK)


# ---- actions ---------------------------------------------------------------------------------------------------------


def test_a_failed_job_is_retried(look, store, jobs):
    page = look(f"jobs/{jobs['failed']}")
    page.get_by_role("button", name="Retry").click()

    expect(page.locator(".title .state")).to_have_text("queued")
    assert store.get(jobs["failed"]).state is State.QUEUED


def test_a_waiting_job_is_cancelled(look, store, jobs):
    page = look(f"jobs/{jobs['waiting']}")
    page.get_by_role("button", name="Cancel").click()

    expect(page.locator(".title .state")).to_have_text("cancelled")
    expect(page.get_by_role("button", name="Cancel")).to_have_count(0)


def test_a_queue_is_paused_and_resumed(look, store, jobs):
    put(store, queue="mail")
    page = look()
    page.get_by_role("button", name="Pause the queue mail").click()
    expect(page.get_by_role("button", name="Resume the queue mail")).to_be_visible()
    assert {queue.name for queue in store.queues() if queue.paused_at} == {"mail", "media"}
    page.get_by_role("button", name="Resume the queue mail").click()

    expect(page.get_by_role("button", name="Pause the queue mail")).to_be_visible()
    expect(page.get_by_text("The queue media is paused")).to_have_count(0)  # nothing waits in it
    assert {queue.name for queue in store.queues() if queue.paused_at} == {"media"}


def test_a_job_is_run_again_once_its_arguments_fit(look, window, store, jobs):
    job_id = put(store, task=f"{shop.__name__}:send", luggage='{"to":"bob","count":2}')
    page = look(f"jobs/{job_id}")
    page.get_by_role("link", name="Run again").click()
    field = page.get_by_label("Arguments, as JSON")
    field.fill(field.input_value().replace('"to"', '"too"'))
    page.get_by_role("button", name="Run again").click()
    expect(page.get_by_role("alert")).to_contain_text("did you mean 'to'?")
    assert [problem for problem in window.problems if "422" not in problem] == []
    window.problems.clear()

    field.fill('{"to": "eve & co", "count": 3}')
    page.get_by_role("button", name="Run again").click()

    expect(page.locator(".values")).to_contain_text("'eve & co'")
    new = store.get(page.url.rpartition("/")[2])
    assert new.id != job_id
    assert Signature.of(shop.send).unpack(new.luggage)[1] == {"to": "eve & co", "count": 3}


def test_all_that_match_go_step_by_step_by_themselves(look, store, jobs, monkeypatch):
    monkeypatch.setattr(bulk, "_STEP", 10)
    for _ in range(45):
        put(store, queue="bin", luggage='{"old":true}')
    store.cancel(JobFilter(queue="bin"))
    page = look("jobs?state=cancelled&queue=bin&text=old")
    expect(page.locator("table.jobs tbody tr")).to_have_count(45)

    page.get_by_role("link", name="Delete").click()
    expect(page.get_by_role("heading", name="Delete 45 jobs?")).to_be_visible()
    page.get_by_role("button", name="Delete them").click()

    expect(page.get_by_role("heading", name="Deleted: 45 jobs")).to_be_visible()
    page.get_by_role("link", name="Back to the jobs").click()
    expect(page.get_by_text("No job matches.")).to_be_visible()
    assert store.find(JobFilter(queue="bin")) == []


# ---- finding ---------------------------------------------------------------------------------------------------------


def test_jobs_are_found_and_turned_page_by_page(look, store):
    added = [put(store, luggage=f'{{"number":{number}}}', task=f"app:t{number % 2}") for number in range(120)]
    page = look("jobs")
    expect(page.get_by_role("link", name="All 120")).to_be_visible()
    page.get_by_role("link", name="Older").click()
    expect(page.locator("table.jobs tbody tr").first).to_have_id(f"j{added[69]}")
    page.get_by_role("link", name="Newest").click()
    page.get_by_label("Task").fill("app:t1")
    page.get_by_label("Argument text").fill('number":11')
    page.get_by_label("Added", exact=True).select_option(label="last hour")
    page.get_by_role("button", name="Find").click()

    expect(page.locator("table.jobs tbody tr")).to_have_count(5 + 1)  # 11, 111, 113, 115, 117, 119
    page.get_by_role("link", name="Clear").click()
    page.get_by_label("Id").fill(added[3][-10:])
    page.get_by_label("Id").press("Enter")
    expect(page.locator(".facts")).to_contain_text(added[3])


# ---- keys ------------------------------------------------------------------------------------------------------------


def test_everything_can_be_done_with_keys(look, store, jobs):
    page = look()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.type("gj")
    page.wait_for_url("**/jobs")
    page.keyboard.press("/")
    expect(page.get_by_label("Argument text")).to_be_focused()
    page.keyboard.type("bob\n")
    expect(page.locator("table.jobs tbody tr")).to_have_count(1)
    page.keyboard.press("j")
    expect(page.locator(f"#j{jobs['failed']} a")).to_be_focused()
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/jobs/{jobs['failed']}")
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent") == "Retry":
            break
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    expect(page.locator(".title .state")).to_have_text("queued")
    page.keyboard.type("gf")
    page.wait_for_url("**/failures")
    expect(page.get_by_text("No job has failed.")).to_be_visible()


def test_the_theme_is_switched_and_kept(look, jobs):
    page = look()
    page.emulate_media(color_scheme="light")
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    page.get_by_role("button", name="Dark theme").click()
    dark = page.evaluate(ground)
    page.get_by_role("link", name="Jobs", exact=True).click()

    assert light != dark
    assert page.evaluate(ground) == dark
    expect(page.get_by_role("button", name="Dark theme")).to_have_attribute("aria-pressed", "true")


# ---- enemies ---------------------------------------------------------------------------------------------------------


def test_a_hostile_job_is_shown_and_does_nothing(look, store, window):
    """Everything that a job brings is markup, its traceback a mebibyte of it: no dialog, no element of its own."""
    trace = f'Traceback:\n  File "{MARKUP}", line 1, in {MARKUP}\n    {MARKUP}\n' + MARKUP * (
        2**20 // len(MARKUP)
    )
    job_id = put(
        store,
        task=f"app:{MARKUP}",
        queue=MARKUP,
        luggage='{"a":"</textarea></td>' + MARKUP.replace('"', "") + '"}',
    )
    job = take(store)
    store.keep([Told(job.id, 1, Step(1, 2, MARKUP, 1), [Line(1, 1, 20, MARKUP, MARKUP)])])
    look()
    end(store, job, Erred(MARKUP, trace, again=False))
    store.pause(MARKUP)
    for rest in (
        "",
        "jobs",
        f"jobs/{job_id}",
        f"jobs/{job_id}/again",
        "failures",
        "tasks",
        "bulk/retry?state=failed",
    ):
        page = look(rest)
        assert page.locator("img, script:not([src])").count() == 0
        if "hx-get" in page.content():  # as it comes anew, too
            with page.expect_response(lambda response: "hx-request" in response.request.headers):
                page.evaluate(LOOK)
            assert page.locator("img, script:not([src])").count() == 0
    expect(look(f"jobs/{job_id}").locator("h1")).to_contain_text("<script>")


def test_a_form_of_another_site_changes_nothing(base, store, window):
    """To see it fail: let the gate pass what says that it comes from elsewhere."""
    put(store, queue="mail")
    site = FastAPI()

    @site.get("/")
    def trap() -> HTMLResponse:
        form = f'<form method="post" action="{base}/queues/pause?name=mail"><button>Win</button></form>'
        return HTMLResponse(
            f'<!doctype html><html lang="en"><title>x</title><link rel="icon" href="data:,">{form}'
        )

    with served(site) as elsewhere:
        page = window.page(elsewhere)
        page.get_by_role("button", name="Win").click()
        expect(page.get_by_role("heading", name="Not from a page of the dashboard")).to_be_visible()

    assert all(queue.paused_at is None for queue in store.queues())
    assert [problem for problem in window.problems if "403" not in problem] == []
    window.problems.clear()
    assert ids(store.find())


def test_pages_go_by_the_policy_of_their_own(look, window, jobs):
    """What did get into a page would not run."""
    page = look()
    page.evaluate(
        "const s = document.createElement('script'); s.textContent = 'window.isRun = 1'; document.body.append(s)"
    )
    assert page.evaluate("window.isRun") is None
    [problem] = window.problems
    window.problems.clear()
    assert "violates the following Content Security Policy directive 'default-src 'self''" in problem
