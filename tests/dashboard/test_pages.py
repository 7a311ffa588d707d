"""What each page shows, from a real store; nobody has to look, as an ASGI client reads it."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from html import unescape

import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.routing import Mount

from outlast import locks
from outlast.handed import Handed
from outlast.job import Crashed, Erred, Line, Step, Succeeded, Told
from outlast.premises import Premises
from outlast.statistics import PLACE, Count, count_end, count_start, nothing
from outlast.store import ChildRecord, JobFilter
from tests.contract.making import end, new_chain, new_job, put, take, worker_record
from tests.dashboard.conftest import local

MAIL = Handed(queue="mail", engine="celery", in_flight=9, lease=timedelta(minutes=1))
MARKUP = "<script>alert('x')</script>\"'&<img src=x onerror=alert(1)>"


def words(answer) -> str:
    """What a page says, without its marks."""
    text = re.sub(r"<(script|style)\b.*?</\1>", "", answer.text, flags=re.DOTALL)
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", text)))


def fail(store, job, error="ValueError: no", traceback="Traceback …"):
    end(store, job, Erred(error, traceback, again=False))


# ---- links -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("at", ["/outlast", "/deep/down"])
@pytest.mark.parametrize("root", ["", "/behind/a/proxy"])
def test_links_hold_wherever_it_is_mounted(app, queue, store, at, root):
    """All are relative: a proxy that takes a part of the path away without a word does no harm either."""
    job = put(store)
    app.mount(at, queue.dashboard())
    browser = local(app, root_path=root)

    for page in ("", "jobs", f"jobs/{job}", f"jobs/{job}/again", "tasks", "failures", "bulk/cancel"):
        here = f"http://localhost{root}{at}/{page}"
        answer = browser.get(here)
        assert answer.status_code == 200
        for link in re.findall(r'(?:href|src|action|hx-get)="([^"#]+)"', answer.text):
            there = answer.url.join(unescape(link))
            assert str(there).startswith(f"http://localhost{root}{at}/")
            assert browser.get(str(there)).status_code in (200, 405), there


def test_it_stands_alone_as_well(queue, store):
    put(store)

    answer = local(Starlette(routes=[Mount("/", queue.dashboard())])).get("/jobs")

    assert 'href="./jobs/' in answer.text


# ---- overview --------------------------------------------------------------------------------------------------------


def test_the_overview_says_that_nobody_works(browser, store):
    store.leave("w1")
    store.leave("w2")
    put(store)

    assert "No worker is alive, and 1 job waits." in words(browser.get("/outlast/"))


def test_the_overview_shows_queues_and_numbers(browser, store, monkeypatch):
    for name in ("mail", "mail", "reports"):
        put(store, queue=name)
    store.pause("reports")
    numbers = nothing()
    for ending in ("succeeded", "succeeded", "succeeded", "retried", "failed_error"):
        count_start(numbers, 30_000)
        count_end(numbers, PLACE[ending], 250_000)
    minute = store.clock.now() - store.clock.now() % 60_000_000
    store.count([Count(minute, "app:task", "mail", numbers)])
    store.note_depths()

    for period in ("hour", "day"):
        told = words(browser.get(f"/outlast/?period={period}"))
        assert "Throughput 3 succeeded" in told
        assert "Failures failed retried 1 for good · 40.0% of attempts" in told
        assert re.search(r"Latency [\d.]+ ms p50", told)
        assert "Queue depth 3 queued now" in told
    assert "mail 2 0 0 Pause" in told
    assert re.search(r"reports paused .{1,12} ago 1 0 0 Resume", told)


def test_the_overview_shows_workers_and_their_children(browser, store):
    job = put(store, task="app:send")
    put(store, task="app:other")
    store.claim("w1", 2)
    child = ChildRecord(pid=4711, standing="starting", memory=64_000_000, jobs=1, job_ids=(job,))
    store.show_children("w1", [child])
    store.report("w1", room=8)

    told = words(browser.get("/outlast/"))

    assert "child 4711 · 64.0 MB starting app: send" in told
    assert "just begun app: other" in told
    assert "heartbeat" in told


@pytest.fixture
def handed_over(store):
    """A job in a queue that two workers hand over, of which one runs others itself, and a process of the engine."""
    premises = Premises(store.url)
    plain = {"w1": {"queues": ("mail",), "room": 0}, "w2": {"queues": ("web", "mail"), "room": 2}}
    for pid, (worker, fields) in enumerate(plain.items(), 11):
        store.enter(worker_record(worker, store.clock, pid=pid, handed=(MAIL,), **fields))
    store.enter(worker_record("p", store.clock, pid=13, queues=(), engine="celery", slots=1, room=0))
    for worker in ("w1", "w2", "p"):
        locks.acquire(premises.worker(worker))
    yield put(store, queue="mail", task="app:send")
    for worker in ("w1", "w2", "p"):
        locks.release(premises.worker(worker), remove=True)


def test_what_is_handed_over_is_looked_after(browser, store, handed_over):
    """Neither a relay, which has no child, nor an engine's process, which serves no queue, is taken for a fault."""
    store.leave("w2")

    told = words(browser.get("/outlast/"))

    assert "All is well: 1 worker and 1 of celery are up, nothing runs, 1 job is queued." in told


def test_the_workers_of_an_engine_are_shown_apart(browser, store, handed_over):
    store.offer([MAIL])
    store.claim_published("p", handed_over, 1, engine="celery")

    told = words(browser.get("/outlast/"))

    assert "mail handed over to celery 0 1 0" in told
    own, _, of_engine = told.partition("Workers of celery")
    assert re.search(r"here:11 started [^·]+ · hands mail over to celery here:12", own)
    assert re.search(r"here:12 started [^·]+ · hands mail over to celery · web · 0 of 8 slots taken", own)
    assert "here:13" not in own
    assert re.search(r"here:13 started [^·]+ 1 job app: send for ", of_engine)


# ---- jobs ------------------------------------------------------------------------------------------------------------


def test_jobs_are_counted_and_listed(browser, store):
    put(store, queue="mail", luggage='{"to":"bob","count":3}')
    put(store, delay=timedelta(hours=1))
    fail(store, take(store), "KeyError: 'x'")

    told = words(browser.get("/outlast/jobs"))
    assert "All 2 Queued 1 scheduled 1 Running 0 Succeeded 0 Failed 1" in told
    assert "KeyError: 'x'" in told
    put(store, luggage='{"to":"bob","count":3}')
    assert "to='bob', count=3" in words(browser.get("/outlast/jobs?queue=default"))


def test_what_is_published_is_counted_and_found_among_the_queued(browser, store):
    published = put(store, queue="mail")
    put(store)
    store.offer([MAIL])

    told = words(browser.get("/outlast/jobs"))
    assert "All 2 Queued 2 ready 1 published 1 Running 0" in told
    found = browser.get("/outlast/jobs?state=published")
    assert f"jobs/{published}" in found.text
    assert "published app: task" in words(found)
    assert "Cancel 1 job?" in words(browser.get("/outlast/bulk/cancel?state=published"))
    assert "Cancel 2 jobs?" in words(browser.get("/outlast/bulk/cancel"))
    assert "Cancel 2 jobs?" in words(browser.get("/outlast/bulk/cancel?state=queued"))


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("state=failed", {"failed"}),
        ("state=queued", {"late", "mail"}),
        ("state=scheduled", {"late"}),
        ("queue=mail", {"mail"}),
        ("task=app:late", {"late"}),
        ("text=BOB", {"mail"}),
        ("error=KeyError", {"failed"}),
        ("added=1h", {"failed", "late", "mail"}),
        ("since=2100-01-01T00:00", set()),
        ("until=2100-01-01T00:00&queue=mail", {"mail"}),
        ("until=2000-01-01T00:00", set()),
        ("state=nonsense&added=nonsense&since=nonsense", {"failed", "late", "mail"}),
    ],
)
def test_jobs_are_filtered(browser, store, query, expected):
    put(store, task="app:failed")
    fail(store, take(store), "KeyError: 'x'")
    put(store, task="app:late", delay=timedelta(hours=1))
    put(store, task="app:mail", queue="mail", luggage='{"to":"Bob"}')

    text = browser.get(f"/outlast/jobs?{query}").text

    assert set(re.findall(r"<b>(\w+)</b>", text)) == expected


def test_jobs_go_on_page_by_page(browser, store):
    added = [new_job(store) for _ in range(120)]
    store.insert(added)
    seen, path = [], "/outlast/jobs?queue=default"
    while path:
        text = browser.get(path).text
        seen += re.findall(r'<tr id="j([^"]+)"', text)
        older = re.search(r'rel="next" href="\./([^"]+)"', text)
        path = older and f"/outlast/{unescape(older[1])}"

    assert seen == [job.id for job in added][::-1]


def test_a_job_is_found_by_an_end_of_its_id(browser, store):
    job, other = put(store), put(store)

    assert browser.get(f"/outlast/jobs?id={job[-12:]}").headers["location"] == f"./jobs/{job}"
    assert browser.get(f"/outlast/jobs?id=…{job[-12:]}").headers["location"] == f"./jobs/{job}"
    assert browser.get("/outlast/jobs?id=abc").status_code == 400
    assert browser.get("/outlast/jobs?id=ffffffffffff").status_code == 404
    assert "More than one" in browser.get(f"/outlast/jobs?id={job[:8]}").text
    assert f'id="j{other}"' not in browser.get(f"/outlast/jobs?id={job}").text


# ---- one job ---------------------------------------------------------------------------------------------------------


def test_a_job_has_its_story(browser, store):
    job_id = put(store, luggage='{"to":"bob"}', max_attempts=2)
    job = take(store)
    store.keep(
        [
            Told(
                job.id,
                1,
                Step(3, 10, "halfway", store.clock.now()),
                [Line(1, store.clock.now(), 30, "app", "slow!")],
            )
        ]
    )
    told = words(browser.get(f"/outlast/jobs/{job_id}"))
    assert "3 of 10 · halfway" in told
    assert "WARNING slow!" in told
    assert "Attempt 1 runs" in told

    trace = 'Traceback …:\n  File "/srv/app.py", line 7, in send\n    smtp.send(to)\nValueError: no'
    end(store, job, Erred("ValueError: no", trace, delay=0))
    job = take(store)
    fail(store, job, "KeyError: 'k'", "Traceback …\nKeyError: 'k'")
    told = words(browser.get(f"/outlast/jobs/{job_id}"))

    assert "to 'bob'" in told
    assert re.search(
        r"Added to the queue default .* Attempt 1 erred after .* Attempt 2 erred .* Failed for good: error",
        told,
    )
    assert "/srv/app.py:7 in send smtp.send(to)" in told
    assert "Failures 2 of 2" in told
    assert "it has failed (error), unless it is retried. outlast jobs retry" in told
    assert browser.get(f"/outlast/jobs/{job_id}/attempts/1").text == trace
    assert browser.get(f"/outlast/jobs/{job_id}/attempts/1").headers["content-type"].startswith("text/plain")
    assert browser.get(f"/outlast/jobs/{job_id}/attempts/9").status_code == 404


def test_a_job_says_which_engine_runs_it_and_by_what_name(browser, store):
    job = put(store, queue="mail")
    store.offer([MAIL])

    told = words(browser.get(f"/outlast/jobs/{job}"))

    assert f"Engine celery, as {job}-1" in told
    assert "Attempt 1 is published" in told
    assert "no worker of celery has taken it yet" in told


def test_a_job_shows_its_result_and_its_neighbours(browser, store):
    chain = new_chain(store, 3)
    store.insert(chain)
    end(store, take(store), Succeeded('{"sent":[1,2]}'))

    told = words(browser.get(f"/outlast/jobs/{chain[1].id}"))
    assert "Before it task succeeded" in told
    assert "Behind it task waiting" in told
    assert "{'sent': [1, 2]}" in words(browser.get(f"/outlast/jobs/{chain[0].id}"))
    assert f"It waits behind job {chain[1].id}" in words(browser.get(f"/outlast/jobs/{chain[2].id}"))


def test_a_job_that_is_not_there_is_told_of(browser):
    answer = browser.get("/outlast/jobs/01890000-0000-7000-8000-000000000000")

    assert answer.status_code == 404
    assert "there is no job 01890000" in answer.text


# ---- tasks and failures ----------------------------------------------------------------------------------------------


def test_tasks_have_their_numbers(browser, store):
    numbers = nothing()
    for ending in ("succeeded", "succeeded", "succeeded", "failed_error"):
        count_start(numbers, 1_000)
        count_end(numbers, PLACE[ending], 80_000)
    minute = store.clock.now() - store.clock.now() % 60_000_000
    store.count([Count(minute, "app:send", "mail", numbers)])
    put(store, task="app:send", luggage='{"to":"bob"}')
    end(store, take(store))

    told = words(browser.get("/outlast/tasks"))
    assert re.search(r"app: send mail 4 0\.1 25\.0 % [\d.]+ ms [\d.]+ ms [\d.]+ ms", told)
    assert re.search(r"Slowest of the last runs .* succeeded app: send to='bob'", told)
    one = words(browser.get("/outlast/tasks?task=app:send&period=day"))
    assert "Run time" in one
    assert "Throughput 3 succeeded" in one
    assert "Throughput 0 succeeded" in words(browser.get("/outlast/tasks?task=app:never"))


def test_failures_are_grouped_and_lead_to_their_jobs(browser, store):
    for error in ("KeyError: 'a'", "KeyError: 'b'", "OSError: full"):
        put(store, task="app:send")
        fail(store, take(store), error)

    page = browser.get("/outlast/failures")
    told = words(page)
    assert told.index("OSError: full") < told.index("KeyError: 'b'")
    assert "2 jobs" in told
    links = [unescape(link) for link in re.findall(r'class="whole" href="\./([^"]+)"', page.text)]
    assert words(browser.get(f"/outlast/{links[1]}")).count("KeyError: '") == 2


# ---- live ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", ["", "jobs", "tasks", "tasks?task=app:task", "failures", "jobs/{job}"])
def test_the_live_part_comes_alone_and_asks_for_itself_again(browser, store, page):
    job = put(store)
    path = f"/outlast/{page.format(job=job)}"

    part = browser.get(path, headers={"hx-request": "true"}).text

    assert part.lstrip().startswith('<div id="live"')
    assert "<html" not in part
    here = re.search(r'hx-get="([^"]+)"', part)
    again = browser.get(str(browser.get(path).url.join(unescape(here[1]))), headers={"hx-request": "true"})
    assert re.sub(r"[\d.]+ m?s", "", again.text) == re.sub(r"[\d.]+ m?s", "", part)


def test_many_viewers_ask_the_store_once(mounted, queue, store, monkeypatch):
    """To see it fail: leave the memory out of `Desk.ask`."""
    asked = []
    real = queue.aask
    monkeypatch.setattr(queue, "aask", lambda ask: (asked.append(ask), real(ask))[1])
    browsers = [local(mounted) for _ in range(5)]
    with browsers[0]:  # one loop, as a server has
        for _ in browsers:
            assert browsers[0].get("/outlast/").status_code == 200

    assert len(asked) == 2


def test_what_somebody_has_changed_is_seen_at_once(browser, store):
    """To see it fail: leave `forget` out; the answer of this second is then shown again."""
    job = put(store)
    with browser:  # one loop, as a server has
        assert "queued" in words(browser.get(f"/outlast/jobs/{job}"))
        browser.post(f"/outlast/jobs/{job}/cancel", headers={"sec-fetch-site": "same-origin"})

        assert "Cancelled" in words(browser.get(f"/outlast/jobs/{job}"))
        browser.post("/outlast/bulk/retry?state=cancelled", headers={"sec-fetch-site": "same-origin"})
        assert "retried by hand" in words(browser.get(f"/outlast/jobs/{job}"))


# ---- whatever jobs carry ---------------------------------------------------------------------------------------------


def test_nothing_that_jobs_bring_is_markup(browser, store):
    """To see it fail: set `autoescape=False`, or mark one value as safe."""
    hostile = {"task": f"app:{MARKUP}", "queue": MARKUP, "owner": MARKUP}
    job_id = put(store, luggage=f'{{"a":{json.dumps(MARKUP)}}}', **hostile)
    job = take(store)
    store.keep([Told(job.id, 1, Step(1, 2, MARKUP, 1), [Line(1, 1, 20, MARKUP, MARKUP)])])
    running = [browser.get(f"/outlast/{page}").text for page in ("", "jobs", f"jobs/{job_id}")]
    trace = (
        f'Traceback (most recent call last):\n  File "{MARKUP}", line 1, in {MARKUP}\n    {MARKUP}\n{MARKUP}'
    )
    fail(store, job, MARKUP, trace)
    store.pause(MARKUP)
    pages = (
        "",
        "jobs",
        "failures",
        "tasks",
        f"jobs/{job_id}",
        f"jobs/{job_id}/again",
        "bulk/retry?task=" + MARKUP,
    )
    for text in running + [browser.get(f"/outlast/{page}").text for page in pages]:
        assert "<script>alert" not in text
        assert "<img src=x" not in text
        assert text.count("<script") in (0, 3)


def test_a_traceback_of_a_mebibyte_is_cut_and_had_whole(browser, store):
    put(store)
    lines = "".join(f'  File "/srv/app.py", line {n}, in deep\n    deep({n})\n' for n in range(20_000))
    trace = f"Traceback (most recent call last):\n{lines}RecursionError: {'x' * 100_000}"
    job = take(store)
    fail(store, job, "RecursionError: too deep", trace)

    page = browser.get(f"/outlast/jobs/{job.id}")

    assert len(page.text) < 200_000
    assert "The whole traceback, as text" in page.text
    assert "RecursionError" in page.text
    assert browser.get(f"/outlast/jobs/{job.id}/attempts/1").text == trace


def test_a_damaged_row_and_a_suspect_are_shown_too(browser, store):
    damaged = put(store, luggage="not json <b>")
    put(store, luggage='{"$": ["stored", "name", 5]}')
    end(store, store.claim("w1", 1)[0], Crashed("killed", alone=False))

    assert "not json <b>" in words(browser.get("/outlast/jobs"))
    assert "not json <b>" in words(browser.get(f"/outlast/jobs/{damaged}"))


# ---- the look --------------------------------------------------------------------------------------------------------


def test_theme_and_zone_come_from_cookies_which_may_say_anything(browser, store):
    job = put(store)
    for theme in ("dark", "light"):
        browser.cookies.set("outlast_theme", theme)
        assert f'data-theme="{theme}"' in browser.get("/outlast/").text
    browser.cookies.set("outlast_theme", '"><script>')
    browser.cookies.set("outlast_zone", "Asia/Tokyo")
    page = browser.get(f"/outlast/jobs/{job}").text
    assert '<html lang="en">' in page
    assert "JST" in page
    for zone in ("../../etc/passwd", "Nowhere/At_All", "x" * 5000):
        browser.cookies.set("outlast_zone", zone)
        assert "UTC" in browser.get(f"/outlast/jobs/{job}").text


def test_static_files_are_named_by_their_content_and_no_others_are_had(browser):
    page = browser.get("/outlast/").text
    names = re.findall(r'(?:href|src)="\./(static/[^"?]+)\?\w{10}"', page)

    assert len(names) == 5
    for name in names:
        assert browser.get(f"/outlast/{name}").status_code == 200
    for name in ("..%2Fpages.py", "nowhere.css", "%2Fetc%2Fpasswd"):
        assert browser.get(f"/outlast/static/{name}").status_code == 404


def test_a_store_that_does_not_answer_is_a_page_that_says_so(app, tmp_path):
    from outlast import TaskQueue

    queue = TaskQueue(app, store="postgresql://nobody@127.0.0.1:9/none", worker="external")
    app.mount("/outlast", queue.dashboard())

    answer = local(app).get("/outlast/")

    assert answer.status_code == 503
    assert "The store does not answer" in answer.text
    queue.close()


def test_two_dashboards_in_one_app_are_two(tmp_path):
    from outlast import TaskQueue

    app = FastAPI()
    queues = [TaskQueue(store=f"sqlite:///{tmp_path / name}.db", worker="external") for name in ("a", "b")]
    for name, queue in zip("ab", queues, strict=True):
        app.mount(f"/{name}", queue.dashboard())
        queue.tell(lambda store, name=name: store.insert([new_job(store, task=f"app:{name}")]))

    assert "<b>a</b>" in local(app).get("/a/jobs").text
    assert "<b>b</b>" in local(app).get("/b/jobs").text
    assert len(queues[0].ask(lambda store: store.find(JobFilter()))) == 1
    for queue in queues:
        queue.close()
