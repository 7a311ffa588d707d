"""Who comes in, who may only look, and what a browser may do with the answers."""

from __future__ import annotations

import re
from typing import Annotated

import pytest
from fastapi import Depends, FastAPI, Header, HTTPException, Request
from fastapi.responses import RedirectResponse
from fastapi.testclient import TestClient

from outlast.dashboard.gate import POLICY
from outlast.errors import OptionRefused
from outlast.store import JobFilter
from tests.contract.making import put
from tests.dashboard.conftest import OWN, local

PAGES = ["", "jobs", "tasks", "failures"]


def require_admin(x_key: Annotated[str, Header()] = "") -> None:
    if x_key != "sesame":
        raise HTTPException(401, "who are you?")


# ---- without auth ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("client", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"])
def test_without_auth_a_browser_on_this_machine_is_answered(mounted, store, page, client):
    answer = TestClient(mounted, base_url="http://localhost:8000", client=(client, 1)).get(f"/outlast/{page}")

    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("client", "base", "headers", "why"),
    [
        ("192.0.2.7", "http://localhost", {}, "comes from 192.0.2.7"),
        ("10.0.0.1", "http://localhost", {}, "comes from 10.0.0.1"),
        ("testclient", "http://localhost", {}, "comes from testclient"),
        ("127.0.0.1", "http://localhost", {"x-forwarded-for": "192.0.2.7"}, "(the header x-forwarded-for)"),
        ("127.0.0.1", "http://localhost", {"forwarded": "for=192.0.2.7"}, "(the header forwarded)"),
        ("127.0.0.1", "http://localhost", {"via": "1.1 proxy"}, "(the header via)"),
        ("127.0.0.1", "http://localhost", {"x-real-ip": "127.0.0.1"}, "(the header x-real-ip)"),
        ("127.0.0.1", "http://shop.example.com", {}, "asks for shop.example.com"),
        ("127.0.0.1", "http://127.0.0.1.example.com", {}, "asks for 127.0.0.1.example.com"),
    ],
)
def test_without_auth_nobody_else_is_answered_and_is_told_why(  # noqa: PLR0917
    mounted, store, client, base, headers, why
):
    """To see it fail: answer whoever is a client on this machine; a proxy beside the server is one."""
    browser = TestClient(mounted, base_url=base, client=(client, 1))
    for page in PAGES:
        answer = browser.get(f"/outlast/{page}", headers=headers)

        assert answer.status_code == 403
        assert why in answer.text
        assert "queue.dashboard(auth=…)" in answer.text
    assert browser.post("/outlast/queues/pause?name=mail", headers={**headers, **OWN}).status_code == 403
    assert store.queues() == []


def test_a_socket_has_no_address_and_is_not_answered(mounted, store):
    assert TestClient(mounted, base_url="http://localhost", client=None).get("/outlast/").status_code == 403


async def test_a_proxy_that_adds_nothing_speaks_an_old_http(mounted, store):
    sent = []

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http",
        "http_version": "1.0",
        "method": "GET",
        "path": "/outlast/",
        "raw_path": b"/outlast/",
        "root_path": "",
        "scheme": "http",
        "query_string": b"",
        "client": ("127.0.0.1", 1),
        "headers": [(b"host", b"127.0.0.1:8000")],
        "server": ("127.0.0.1", 8000),
    }
    await mounted(scope, None, send)

    assert sent[0]["status"] == 403


# ---- with auth -------------------------------------------------------------------------------------------------------


@pytest.fixture
def guarded(app, queue, store):
    app.mount("/outlast", queue.dashboard(auth=require_admin))
    return TestClient(app, base_url="https://shop.example.com", follow_redirects=False)


@pytest.mark.parametrize("page", [*PAGES, "bulk/retry", "static/dashboard.css"])
def test_with_auth_the_dependency_decides(guarded, page):
    """To see it fail: leave `auth` out of the dependencies of one of the routers."""
    assert guarded.get(f"/outlast/{page}").status_code == 401
    assert guarded.get(f"/outlast/{page}", headers={"x-key": "sesame"}).status_code == 200


def test_with_auth_nothing_is_changed_for_who_is_not_let_in(guarded, store):
    job = put(store)
    for path in (f"jobs/{job}/cancel", "queues/pause?name=default", "bulk/cancel", f"jobs/{job}/again"):
        assert guarded.post(f"/outlast/{path}", headers=OWN).status_code == 401
    assert store.get(job).state == "queued"
    assert len(store.find()) == 1
    assert store.queues()[0].paused_at is None


def test_overrides_of_the_app_hold(app, guarded):
    app.dependency_overrides = {require_admin: lambda: None}

    assert guarded.get("/outlast/").status_code == 200


def test_auth_finds_the_app_and_what_it_handles(app, queue, store):
    """A dependency that looks at the app, at its middlewares' work, and raises an error that the app answers."""

    class NeedsLoginError(Exception):
        pass

    def auth(request: Request) -> None:
        assert request.app is app
        assert request.app.state.keys == {"sesame"}
        if request.headers.get("x-key") not in request.app.state.keys:
            raise NeedsLoginError

    @app.exception_handler(NeedsLoginError)
    async def to_login(request: Request, error: Exception) -> RedirectResponse:
        return RedirectResponse(request.url_for("login"))

    @app.get("/login")
    def login() -> None: ...

    app.mount("/outlast", queue.dashboard(auth=auth))
    app.state.keys = {"sesame"}
    browser = local(app)

    assert browser.get("/outlast/").headers["location"] == "http://localhost/login"
    assert browser.get("/outlast/", headers={"x-key": "sesame"}).status_code == 200


# ---- only looking ----------------------------------------------------------------------------------------------------


def may_only_look(x_role: Annotated[str, Header()] = "guest") -> bool:
    return x_role != "operator"


@pytest.mark.parametrize("page", PAGES)
def test_who_may_only_look_sees_no_button(app, queue, store, page):
    put(store)
    app.mount("/outlast", queue.dashboard(read_only=True))

    answer = local(app).get(f"/outlast/{page}")

    assert answer.status_code == 200
    assert "only looking" in answer.text
    assert 'method="post"' not in answer.text
    assert "/bulk/" not in answer.text


@pytest.mark.parametrize(
    "path",
    ["jobs/{id}/cancel", "jobs/{id}/retry", "jobs/{id}/again", "queues/pause?name=a", "queues/resume?name=a"]
    + [f"bulk/{action}" for action in ("retry", "cancel", "delete")],
)
def test_who_may_only_look_changes_nothing(app, queue, store, path):
    """To see it fail: forget `require_hands` on one of the routers."""
    job = put(store)
    app.mount("/outlast", queue.dashboard(read_only=may_only_look))
    browser = local(app)

    assert browser.post(f"/outlast/{path.format(id=job)}", headers=OWN).status_code == 403
    assert store.find(JobFilter()) == [store.get(job)]
    assert store.get(job).state == "queued"
    assert (
        browser.post(f"/outlast/jobs/{job}/cancel", headers={**OWN, "x-role": "operator"}).status_code == 303
    )


# ---- forged requests -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("told", [None, "cross-site", "same-site", "none"])
def test_what_changes_something_must_come_from_a_page_of_the_dashboard(browser, store, told):
    """To see it fail: let requests pass that do not say where they come from."""
    job = put(store)
    headers = {} if told is None else {"sec-fetch-site": told}

    for path in (f"jobs/{job}/cancel", "queues/pause?name=default", "bulk/cancel"):
        answer = browser.post(f"/outlast/{path}", headers=headers)
        assert answer.status_code == 403
        assert "must come from a page of this dashboard" in answer.text
    assert store.get(job).state == "queued"


# ---- what browsers are told ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [*PAGES, "nowhere", "jobs/nowhere", "static/dashboard.css"])
def test_every_answer_bears_the_policy(browser, path):
    headers = browser.get(f"/outlast/{path}").headers

    assert headers["content-security-policy"] == POLICY
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "same-origin"
    assert headers["cache-control"] == (
        "no-store" if "static" not in path else "public, max-age=31536000, immutable"
    )


def test_the_policy_lets_in_nothing_of_elsewhere():
    assert "default-src 'self'" in POLICY
    assert "unsafe" not in POLICY
    assert "frame-ancestors 'none'" in POLICY


@pytest.mark.parametrize("page", PAGES)
def test_no_script_and_no_style_lies_in_a_page(browser, store, page):
    put(store)
    text = browser.get(f"/outlast/{page}").text

    assert re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:", text) is None
    assert [tag for tag in re.findall(r"<script[^>]*>", text) if " src=" not in tag] == []


def test_without_jinja2_it_says_what_to_install(queue, monkeypatch):
    monkeypatch.setattr("outlast.dashboard.find_spec", lambda name: None)

    with pytest.raises(OptionRefused, match=re.escape("pip install 'outlast[dashboard]'")):
        queue.dashboard()


def test_a_queue_without_an_app_has_one_too(url):
    from outlast import TaskQueue

    queue = TaskQueue(store=url, worker="external")
    app = FastAPI()
    app.mount("/x", queue.dashboard(auth=Depends(require_admin).dependency))
    queue.ask(lambda store: store.counts())

    assert local(app).get("/x/", headers={"x-key": "sesame"}).status_code == 200
    queue.close()
