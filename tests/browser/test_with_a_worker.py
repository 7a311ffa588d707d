"""What a real worker does is seen in a real browser while it happens: its children, jobs that run, end, are stopped."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from playwright.sync_api import expect

from outlast import TaskQueue
from tests.browser.conftest import served
from tests.worker.harness import TASKS, House


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path)
    house.write("app", TASKS)
    house.worker()
    yield house
    house.close()


@pytest.fixture
def queue(house: House) -> Iterator[TaskQueue]:
    queue = TaskQueue(FastAPI(), store=house.store.url, worker="external")
    yield queue
    queue.close()


def test_what_a_worker_does_is_seen_while_it_happens(house, queue, window):
    assert queue.app is not None
    queue.app.mount("/outlast", queue.dashboard())
    with served(queue.app) as base:
        overview = window.page(f"{base}/outlast/")
        expect(overview.get_by_text("All is well: 1 worker is up")).to_be_visible()
        job = house.add("app:hold", {"door": "front"})
        one = window.page(f"{base}/outlast/jobs/{job}")
        expect(one.locator(".title .state")).to_have_text("running")
        child = house.noted("started", job).pid
        expect(overview.locator(".child", has_text=f"child {child}")).to_contain_text("hold", timeout=10_000)

        house.open("front")

        expect(one.locator(".title .state")).to_have_text("succeeded")
        expect(one.get_by_text("Attempt 1 succeeded after")).to_be_visible()
        expect(overview.locator(".child", has_text=f"child {child}")).to_contain_text("idle", timeout=10_000)

        stopped = house.add("app:ahold", {"door": "never"})
        house.noted("started", stopped)
        page = window.page(f"{base}/outlast/jobs/{stopped}")
        page.get_by_role("button", name="Cancel").click()
        expect(page.locator(".title .state")).to_have_text("cancelled")
        page.get_by_role("button", name="Retry").click()
        expect(page.locator(".title .state")).to_have_text("running")
