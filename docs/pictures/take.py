"""Takes the pictures of the dashboard that the pages show: `make pictures`.

A store is filled with a day of a shop that does not exist; a server and a headless Chromium do the rest. The same dice
are thrown each time.
"""

from __future__ import annotations

import math
import sys
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT)]

from fastapi import FastAPI  # noqa: E402
from PIL import Image  # noqa: E402

from outlast import TaskQueue, locks  # noqa: E402
from outlast.clock import span, to_instant  # noqa: E402
from outlast.job import Ended, Erred, Line, NewJob, Step, Succeeded, Told, new_id  # noqa: E402
from outlast.premises import Premises  # noqa: E402
from outlast.statistics import MINUTE, PLACE, Count, count_end, count_start, nothing  # noqa: E402
from outlast.store import ChildRecord, Store, WorkerRecord, open_store  # noqa: E402
from tests.browser.chromium import new_window, started  # noqa: E402
from tests.browser.conftest import served  # noqa: E402
from tests.rows import row  # noqa: E402

HERE = Path(__file__).resolve().parent
DICE = Random(7)
SECOND = 1_000_000
# For each task: its queue, how often it runs in a busy minute, how long it takes (ms), how often it fails.
TASKS = {
    "shop.orders:send_receipt": ("mail", 42, 180, 0.012),
    "shop.orders:reserve_stock": ("default", 38, 24, 0.002),
    "shop.media:resize_image": ("media", 14, 950, 0.03),
    "shop.search:index_product": ("default", 22, 60, 0.0),
    "shop.reports:monthly_report": ("reports", 0.3, 42_000, 0.0),
    "shop.hooks:deliver": ("hooks", 9, 340, 0.08),
}
REFUSED = "SMTPRecipientsRefused: 550 5.1.1 mailbox unavailable"
TRACE = """Traceback (most recent call last):
  File "/srv/shop/orders.py", line 48, in send_receipt
    await mailer.send(to, subject=f"Your order {order}", body=render(order))
  File "/srv/shop/mailer.py", line 31, in send
    await self.connection.sendmail(self.sender, to, message)
  File "/usr/lib/python3.12/site-packages/aiosmtplib/client.py", line 377, in sendmail
    raise SMTPRecipientsRefused(refused)
aiosmtplib.errors.SMTPRecipientsRefused: 550 5.1.1 mailbox unavailable"""


def main() -> None:
    """All of them, beside this file."""
    with TemporaryDirectory() as folder, started() as browser:
        url = f"sqlite:///{Path(folder) / 'outlast.db'}"
        with closing(open_store(url)) as store:
            shown = fill(store)
            with served(app_of(url)) as base:
                pictures(browser, f"{base}/outlast", shown)


def pictures(browser: Any, base: str, shown: dict[str, str]) -> None:
    pages = {
        "overview": "/",
        "jobs": "/jobs",
        "job": f"/jobs/{shown['failed']}",
        "running": f"/jobs/{shown['running']}",
        "tasks": "/tasks?period=day",
        "failures": "/failures",
    }
    for scheme in ("light", "dark"):
        size = {"width": 1180, "height": 860}
        with new_window(browser, viewport=size, color_scheme=scheme) as window:
            for name, rest in pages.items():
                if scheme == "light" or name in ("overview", "job"):
                    take(window, base + rest, HERE / f"{name}-{scheme}.png")
    size = {"width": 390, "height": 844}
    with new_window(browser, viewport=size, is_mobile=True, device_scale_factor=1.5) as window:
        take(window, base + "/", HERE / "telephone.png")


def take(window: Any, url: str, file: Path) -> None:
    page = window.page(url)
    page.screenshot(path=file)
    page.close()
    with Image.open(file) as picture:  # a page has few colours: so it takes a third
        picture.convert("RGB").quantize(128, dither=Image.Dither.NONE).save(file, optimize=True)
    print(file.relative_to(ROOT))


def app_of(url: str) -> FastAPI:
    app = FastAPI()
    queue = TaskQueue(app, store=url, worker="external")
    app.mount("/outlast", queue.dashboard())
    return app


# ---- a day in the shop -----------------------------------------------------------------------------------------------


def fill(store: Store) -> dict[str, str]:
    """The ids of the jobs that have a picture of their own."""
    now = store.clock.now()
    count_a_day(store, now)
    worker = enter(store)
    store.insert(add_jobs(store, now))
    return run(store, worker, now)


def count_a_day(store: Store, now: int) -> None:
    this_minute = now - now % MINUTE
    for back in range(24 * 60):
        minute = this_minute - back * MINUTE
        busy = 0.55 + 0.35 * math.sin((back - 200) / 230) + 0.1 * math.sin(back / 7)
        store.count([counted(task, minute, busy, back) for task in TASKS])


def counted(task: str, minute: int, busy: float, back: int) -> Count:
    queue, often, took, fails = TASKS[task]
    numbers = nothing()
    rush = 3.0 if 18 <= back <= 24 else 1.0
    for _ in range(int(often * max(0.1, busy) * DICE.uniform(0.7, 1.3) + DICE.random())):
        count_start(numbers, round(DICE.lognormvariate(3.2, 0.7) * 1000 * rush))
        failed = DICE.random() < fails * (6 if rush > 1 and queue == "mail" else 1)
        ending = "succeeded" if not failed else ("failed_error" if DICE.random() < 0.3 else "retried")
        count_end(numbers, PLACE[ending], round(took * 1000 * DICE.lognormvariate(0, 0.35)))
    return Count(minute, task, queue, numbers)


@contextmanager
def at(store: Store, time: int) -> Any:
    """The store as if it were another time."""
    clock, store.clock = store.clock, type("Then", (), {"now": lambda self: time})()
    try:
        yield
    finally:
        store.clock = clock


def note_depths(store: Store, now: int) -> None:
    for back in range(1, 24 * 60):
        rush = 150 * math.exp(-(((back - 21) / 3.5) ** 2))
        depth = max(0.0, 14 + 9 * math.sin(back / 11) + rush + DICE.uniform(-4, 4))
        noted = {"minute": now - now % MINUTE - back * MINUTE, "queue": "", "queued": round(depth)}
        store._connection.execute(store.SQL["note_depth"], noted)  # type: ignore[attr-defined]


def enter(store: Store) -> str:
    now = store.clock.now()
    worker = new_id()
    locks.acquire(Premises(store.url).worker(worker))
    store.enter(
        WorkerRecord(
            id=worker,
            host="web-1",
            premises="",
            pid=2204,
            queues=None,
            slots=80,
            started_at=to_instant(now - 5 * 3600 * SECOND),
            lease_until=to_instant(now + 3600 * SECOND),
            room=80,
        )
    )
    note_depths(store, now)
    return worker


def add_jobs(store: Store, now: int) -> list[NewJob]:
    """The last hour's jobs, and those that wait."""
    jobs = []
    for number in range(400):
        added = now - (400 - number) * 9 * SECOND
        task, luggage = call(number)
        queue = TASKS[task][0]
        jobs.append(row(added, id=new_id(), task=task, queue=queue, luggage=luggage, created_at=added))
    for delay, number in ((18, 7001), (55, 7002), (180, 7003)):
        task, luggage = call(number * 4)
        fields = {"task": task, "queue": TASKS[task][0], "luggage": luggage}
        jobs.append(row(now, **fields, run_at=now + span(timedelta(minutes=delay))))
    return jobs


def call(number: int) -> tuple[str, str]:
    if number % 40 == 39:
        return "shop.reports:monthly_report", '{"month":"2031-05","customers":4180}'
    order = 48_200 + number
    return [
        ("shop.orders:send_receipt", f'{{"to":"customer{number}@example.com","order":{order}}}'),
        ("shop.orders:reserve_stock", f'{{"sku":"TEA-{number:04}","pieces":{number % 5 + 1}}}'),
        ("shop.media:resize_image", f'{{"path":"uploads/{order}.jpg","widths":[320,640,1280]}}'),
        ("shop.hooks:deliver", f'{{"url":"https://example.org/hooks/{number % 7}","order":{order}}}'),
    ][number % 4]


def run(store: Store, worker: str, now: int) -> dict[str, str]:
    """Most have ended; two reports and some images run; a few have failed."""
    claimed = store.claim(worker, 396)
    shown: dict[str, str] = {}
    running, failing = [], []
    for number, job in enumerate(claimed):
        ended = now - (400 - number) * 9 * SECOND
        took = TASKS[job.task][2] * 1000
        if number > 390 or (job.task.endswith("monthly_report") and number > 340):
            running.append(job)
            continue
        with at(store, ended + took):
            store._connection.execute(  # type: ignore[attr-defined]
                "UPDATE jobs SET started_at = :at WHERE id = :id", {"at": ended, "id": job.id}
            )
            if number % 44 == 4 and job.task.endswith("send_receipt"):
                is_last = number % 88 == 4
                wait = 0 if is_last else 3600 * SECOND
                store.settle([Ended(job.id, job.attempt, Erred(REFUSED, TRACE, delay=wait))])
                if is_last:
                    shown["failed"] = job.id
                    failing.append((job.id, ended + took))
            elif number % 61 == 3:
                error = Erred("HTTPStatusError: 503 Service Unavailable", TRACE, again=False)
                store.settle([Ended(job.id, job.attempt, error)])
            else:
                store.settle([Ended(job.id, job.attempt, Succeeded('{"ok":true}'))])
    for job_id, failed in failing:
        with at(store, failed + 2 * SECOND):
            again = store.claim_one(worker, job_id)
        assert again is not None
        with at(store, failed + 2 * SECOND + 210_000):
            store.settle([Ended(job_id, again.attempt, Erred(REFUSED, TRACE, again=False))])
    report = next(job for job in running if job.task.endswith("monthly_report"))
    shown["running"] = report.id
    lines = [
        Line(1, now - 31 * SECOND, 20, "shop.reports", "4,180 customers to sum up"),
        Line(2, now - 16 * SECOND, 30, "shop.reports", "customer 1877 has no address; left out"),
        Line(3, now - 4 * SECOND, 20, "shop.reports", "2,600 customers done"),
    ]
    store.keep([Told(report.id, 1, Step(2640, 4180, "customer 2640", now), lines)])
    for number, job in enumerate(running):
        begun = now - (34 if job is report else number + 1) * SECOND
        store._connection.execute(  # type: ignore[attr-defined]
            "UPDATE jobs SET started_at = :at WHERE id = :id", {"at": begun, "id": job.id}
        )
    halves = [running[::2], running[1::2]]
    children = [
        ChildRecord(
            pid=2211 + number,
            standing="ready",
            memory=(92 + 9 * number) * 1_000_000,
            jobs=len(half),
            job_ids=tuple(job.id for job in half),
        )
        for number, half in enumerate(halves)
    ]
    store.show_children(worker, children)
    return shown


if __name__ == "__main__":
    main()
