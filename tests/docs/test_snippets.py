"""Every block of Python in the pages is a file, and every such file runs: here, one test for each."""

import asyncio
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import timedelta
from decimal import Decimal
from uuid import UUID

import pytest

from outlast import State, TaskQueue
from outlast.address import address_of
from outlast.job import new_id
from tests import projects
from tests.docs.pages import PAGES, READMES, ROOT, Block, blocks
from tests.docs.running import PATIENCE, SNIPPETS, Snippet, free_port, served, served_by_uvicorn
from tests.polling import polled
from tests.postgresql import new_store
from tests.stores import execute

SHOWN = [block for page in PAGES for block in blocks(page, "python")]


# ---- blocks and files


@pytest.mark.parametrize("block", SHOWN, ids=str)
def test_a_block_of_python_is_a_file(block: Block):
    assert block.source, f"{block.page.name}: put a comment with the name of its file above the block"
    file = ROOT / block.source

    assert block.text == file.read_text("utf-8"), "python docs/include.py copies the files into the pages"


def test_every_snippet_is_shown():
    assert {ROOT / block.source for block in SHOWN if block.source} >= {*SNIPPETS.values()}


def test_every_snippet_has_a_test_of_its_own():
    assert {name for name in SNIPPETS if f"test_{name}" not in globals()} == set()


def test_the_readme_opens_with_the_quickstart():
    for readme in READMES:
        first = next(blocks(readme))

        assert first.source == "examples/quickstart.py"


# ---- each file runs


@pytest.fixture
def snippet(request, monkeypatch, tmp_path):
    """The module of the test's name, imported anew beside a store of its own, in a folder of its own."""
    monkeypatch.setenv("OUTLAST_STORE", f"sqlite:///{tmp_path / 'outlast.db'}")
    monkeypatch.setenv("OUTLAST_WORKER", "inline")
    monkeypatch.chdir(tmp_path)
    with Snippet.imported(SNIPPETS[request.node.name.removeprefix("test_")]) as snippet:
        yield snippet


def test_quickstart(snippet):
    with snippet.client() as client:
        answer = client.post("/send-notification/you@example.com")

    assert answer.json() == {"message": "Notification sent in the background"}
    assert snippet.only_job().state is State.SUCCEEDED


def test_first_steps(snippet, tmp_path):
    source = SNIPPETS["first_steps"].read_text("utf-8")
    (tmp_path / "main.py").write_text(source.replace("time.sleep(10)", "time.sleep(0.1)"))

    with served_by_uvicorn("main", folder=tmp_path, app_dir=tmp_path) as client:
        job_id = client.post("/send-notification/you@example.com").json()["job"]
        asyncio.run(snippet.queue.job(job_id).wait(timeout=20))

    assert (tmp_path / "log.txt").read_text() == "notification for you@example.com: some notification\n"


def test_main(snippet, tmp_path):
    with snippet.client() as client:
        client.post("/send-notification/you@example.com")

    assert (tmp_path / "log.txt").read_text() == "notification for you@example.com: some notification\n"


def test_idempotent(snippet):
    with snippet.client() as client:
        client.post("/orders/7?cents=990")
        client.post("/orders/7?cents=990")

    assert [job.state for job in snippet.jobs()] == [State.SUCCEEDED, State.SUCCEEDED]
    with closing(sqlite3.connect("shop.db")) as db:
        assert db.execute("SELECT * FROM invoices").fetchall() == [(7, 990)]


def test_job_id_as_key(snippet):
    job = snippet.charge.enqueue("4242", 990)

    assert snippet.charged == {job.id: ("4242", 990)}


def test_options(snippet):
    with snippet.client() as client:
        client.post("/welcome/you@example.com")

    now, later = snippet.jobs()
    assert (now.state, now.queue, now.max_attempts, now.timeout) == (
        State.SUCCEEDED,
        "mail",
        8,
        timedelta(seconds=30),
    )
    assert (later.view, later.queue, later.run_at - later.created_at) == (
        "scheduled",
        "mail",
        timedelta(days=3),
    )


def test_aliases(snippet, capsys):
    job = snippet.queue.prepare(snippet.send_message, ("you", "hello"), {})
    for name in ("aliases:send_mail", "shop.letters:send"):
        snippet.queue._enqueue([job._replace(id=new_id(), task=name)])

    assert capsys.readouterr().out == "to you: hello\n" * 2


def test_postgres(snippet):
    """As all snippets, on a store of the test's own; that it works on PostgreSQL is shown by tests/promises."""
    with snippet.client() as client:
        client.post("/send-notification/you@example.com")

    assert [job.task for job in snippet.jobs()] == ["postgres:write_notification"]


@pytest.fixture
def on_postgres(request, monkeypatch):
    """The module of the test's name, imported beside a database with a table of orders, and a store in it."""
    name = request.node.name.removeprefix("test_")
    driver = "" if name == "session_psycopg" else "+psycopg"
    with new_store() as url:
        execute(url, "CREATE TABLE orders (id serial PRIMARY KEY, email text, reminded timestamptz)")
        address = address_of(url)
        monkeypatch.setenv("OUTLAST_STORE", url)
        monkeypatch.setenv("OUTLAST_WORKER", "external")
        monkeypatch.setenv(
            "PGOPTIONS", f"-c search_path={address.schema}"
        )  # where the snippets have their tables
        bare = url.partition("?")[0].replace("postgresql://", f"postgresql{driver}://")
        monkeypatch.setenv("DATABASE_URL", bare)
        with Snippet.imported(SNIPPETS[name]) as snippet:
            yield snippet, url


def test_session(on_postgres):
    snippet, url = on_postgres
    with snippet.client() as client:
        order = client.post("/orders?email=you@example.com").json()["order"]

    assert snippet.only_job().luggage.startswith(f'{{"order_id":{order}')
    assert execute(url, "SELECT email FROM orders") == [("you@example.com",)]
    snippet.engine.dispose()


def test_session_async(on_postgres):
    """With psycopg, since asyncpg would not look for the table in our schema; tests/postgres have asyncpg."""
    snippet, url = on_postgres
    with snippet.client() as client:
        client.post("/orders?email=you@example.com")

    assert execute(url, "SELECT email FROM orders") == [("you@example.com",)]
    assert snippet.only_job().luggage.startswith('{"email":"you@example.com"')


def test_session_sqlmodel(on_postgres):
    snippet, url = on_postgres
    with snippet.client() as client:
        client.post("/orders", json={"email": "you@example.com"})

    assert snippet.only_job().luggage.startswith('{"email":"you@example.com"')
    assert execute(url, "SELECT email FROM orders") == [("you@example.com",)]
    snippet.engine.dispose()


def test_session_psycopg(on_postgres):
    snippet, url = on_postgres
    with snippet.client() as client:
        client.post("/orders?email=you@example.com")

    assert snippet.only_job().luggage.startswith('{"email":"you@example.com"')
    assert execute(url, "SELECT email FROM orders") == [("you@example.com",)]


def test_session_outside(on_postgres):
    snippet, url = on_postgres
    execute(url, "INSERT INTO orders (email) VALUES ('you@example.com'), ('me@example.com')")

    snippet.remind_all()
    snippet.remind_all()

    assert len(snippet.jobs()) == 2
    snippet.engine.dispose()


def test_test_session(tmp_path, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", "postgresql+psycopg://app@nowhere.invalid/shop")
    passes(tmp_path, "session", "test_session")


@pytest.mark.parametrize("engine", ["celery", "rq", "dramatiq"])
def test_handover_examples_run_inline_as_any_other(engine, monkeypatch, tmp_path):
    """With real brokers and workers they run in tests/handover/test_examples.py."""
    monkeypatch.setenv("OUTLAST_STORE", f"sqlite:///{tmp_path / 'outlast.db'}")
    monkeypatch.setenv("OUTLAST_WORKER", "inline")
    with Snippet.imported(SNIPPETS[f"handover_{engine}"]) as snippet, snippet.client() as client:
        job = client.post("/welcome/you@example.com").json()["job"]

        assert snippet.queue.job(job).state is State.SUCCEEDED


def test_handover_celery(snippet):
    assert [(each.queue, each.engine) for each in snippet.queue.handed] == [
        ("celery", "celery"),
        (None, "celery"),
    ]


def test_handover_rq(snippet):
    assert [(each.queue, each.engine) for each in snippet.queue.handed] == [("rq", "rq"), (None, "rq")]


def test_handover_dramatiq(snippet):
    assert [(each.queue, each.engine) for each in snippet.queue.handed] == [
        ("dramatiq", "dramatiq"),
        (None, "dramatiq"),
    ]


def test_handover_queues(snippet):
    assert [each.queue for each in snippet.queue.handed] == ["celery", "mail"]
    assert snippet.queue.handover_of("default") is None


def test_handover_native(snippet):
    with snippet.client() as client:
        client.post("/pictures?path=a.png")

    assert [(job.task, job.queue) for job in snippet.jobs()] == [
        ("celery/handover_native.make_thumbnail", "celery")
    ]


def test_plain_function(snippet, tmp_path):
    (tmp_path / "exports" / "3").mkdir(parents=True)

    with snippet.client() as client:
        client.delete("/exports/3")

    assert snippet.only_job().max_attempts == 2
    assert list((tmp_path / "exports").iterdir()) == []


def test_depends(snippet):
    with snippet.client() as client:
        client.post("/orders/7/ship")

    assert snippet.only_job().luggage.startswith('{"order_id":7')
    with closing(sqlite3.connect("shop.db")) as db:
        assert db.execute("SELECT * FROM orders").fetchall() == [(7, "shipped")]


def test_depends_adds(snippet):
    with snippet.client() as client:
        client.post("/orders/7?cents=5")
        with pytest.raises(ValueError, match="nobody"):
            client.post("/orders/8?cents=-5")
        charged, receipt, failed = snippet.jobs()

    assert [job.view for job in (charged, receipt, failed)] == ["succeeded", "succeeded", "retrying"]
    assert '"order_id":7' in receipt.luggage


def test_snapshot(snippet, capsys):
    with snippet.client() as client:
        assert client.post("/albums/3/export", headers={"Authorization": "Bearer ann"}).status_code == 200
        assert client.post("/albums/3/export", headers={"Authorization": "ann"}).status_code == 401
        assert client.post("/albums/3/export").status_code == 422

    assert snippet.only_job().state is State.SUCCEEDED
    assert capsys.readouterr().out == "album 3 for ann\n"


def test_retries(snippet, tmp_path):
    covered = snippet.read_remote.enqueue(str(tmp_path))
    never = snippet.read_remote.enqueue("missing.txt")

    assert (covered.record().view, covered.record().max_attempts) == ("retrying", 10)
    assert (
        timedelta(seconds=7) < covered.record().run_at - covered.record().started_at < timedelta(seconds=13)
    )
    assert (never.state, never.record().reason) == (State.FAILED, "error")


def test_steering(snippet):
    views = {status: snippet.fetch.enqueue(status).record() for status in (200, 202, 404, 429)}

    assert {status: (job.view, job.failures) for status, job in views.items()} == {
        200: ("succeeded", 0),
        202: ("scheduled", 0),
        404: ("failed", 1),
        429: ("retrying", 1),
    }


def test_times(snippet):
    with snippet.client() as client:
        client.post("/remind/you")

    tea, new_year = snippet.jobs()
    assert (tea.view, tea.run_at - tea.created_at) == ("scheduled", timedelta(minutes=10))
    assert tea.expires_at - tea.created_at == timedelta(hours=1)
    assert (new_year.run_at.year, new_year.expires_at - new_year.run_at) == (2031, timedelta(days=1))


def test_timeouts(snippet, capsys):
    soon = snippet.ask_slow_service.options(timeout=timedelta(milliseconds=20), max_attempts=1)

    job = asyncio.run(soon.aenqueue())

    assert (job.state, job.record().reason) == (State.FAILED, "timeout")
    assert capsys.readouterr().out == "closing the connection\n"


def test_cancel(snippet):
    waiting = snippet.queue.options(snippet.export, delay=timedelta(hours=1))
    with snippet.client() as client:
        done = client.post("/exports/march").json()["job"]
        queued = snippet.queue.enqueue(waiting, "april").id

        assert client.delete(f"/exports/{done}").json() == {"will_stop": False}
        assert client.delete(f"/exports/{queued}").json() == {"will_stop": True}
    assert snippet.queue.job(queued).state is State.CANCELLED


def test_once(snippet):
    assert snippet.text_everybody.enqueue("hello").record().max_attempts == 1


def test_outside(snippet, tmp_path):
    told = subprocess.run(
        [sys.executable, SNIPPETS["outside"]], cwd=tmp_path, capture_output=True, text=True, check=True
    )

    assert told.stdout == "5\n"


def test_chain(snippet, capsys):
    with snippet.client() as client:
        client.post("/users/you")

    assert [job.state for job in snippet.jobs()] == [State.SUCCEEDED, State.SUCCEEDED]
    assert capsys.readouterr().out == "account of you is ready\nwelcome, you\n"


def test_many(snippet):
    with snippet.client() as client:
        assert client.post("/albums/3/resize").json() == {"jobs": 100}

    assert snippet.queue.ask(lambda store: store.counts())["succeeded"] == 100


def test_luggage(snippet, capsys):
    order = snippet.Order(id=UUID(int=7), total=Decimal("9.90"), due="2031-03-01")

    with snippet.client() as client:
        client.post("/orders", json=order.model_dump(mode="json"))

    assert capsys.readouterr().out == f"{order.id}, due 01 March: ['fragile', 'gift']\n"


def test_upload(snippet, capsys):
    with snippet.client() as client:
        answer = client.post("/customers", files={"file": ("new.csv", "name,town\nAda,London\nJoan,Paris\n")})

    assert answer.status_code == 202
    assert capsys.readouterr().out == "new.csv: 2 customers\n"


def test_inspect_job(snippet):
    with snippet.client() as client:
        job = client.post("/divide?left=1&right=4").json()["job"]

        assert client.get(f"/results/{job}").json() == {
            "state": "succeeded",
            "attempt": 1,
            "result": 0.25,
            "error": None,
        }


def test_explain_job(snippet):
    call = snippet.queue.options(snippet.why, delay=timedelta(hours=1))
    job = snippet.queue.enqueue(call, "some")
    with snippet.client() as client:
        reasons = client.get(f"/admin/jobs/{job.id}/why").json()

    assert [why for why, *_ in reasons] == ["not_due"]


def test_dependency(snippet, tmp_path):
    with snippet.client() as client:
        client.post("/send-notification/you@example.com?q=cats")

    assert (tmp_path / "log.txt").read_text() == "found query: cats\nmessage to you@example.com\n"


def test_status(snippet):
    with snippet.client() as client:
        answer = client.post("/reports/2031")

        assert (answer.status_code, answer.json()["status"]) == (202, answer.headers["Location"])
        assert client.get(answer.headers["Location"]).json()["result"] == {"year": 2031, "pages": 12}


def test_dashboard(snippet):
    def told(user, method="get", path="/outlast/"):
        own = {"Sec-Fetch-Site": "same-origin"}
        return client.request(method, path, auth=user, headers=own, follow_redirects=False).status_code

    with snippet.client() as client:
        assert client.get("/outlast/").status_code == 401
        assert told(("ann", "wrong")) == 401
        assert (told(("ann", "swordfish")), told(("bob", "opensesame"))) == (200, 200)
        pause = "/outlast/queues/pause?name=mail"
        assert told(("ann", "swordfish"), "post", pause) == 303
        assert told(("bob", "opensesame"), "post", pause) == 403


def test_wait_for_job(snippet):
    with snippet.client() as client:
        answer = client.post("/thumbnails/cat.png", headers={"Prefer": "wait=5"})

        assert (answer.status_code, answer.json()["result"]) == (200, "small-cat.png")
        assert client.post("/thumbnails/cat.png").status_code == 202


def test_typed_status(snippet):
    with snippet.client() as client:
        answer = client.post("/reports/2031")

        assert client.get(answer.headers["Location"]).json()["result"] == {"year": 2031, "pages": 12}


def test_job_owner(snippet):
    with snippet.client() as client:
        ada, bob = ({"Authorization": f"Bearer token-of-{name}"} for name in ("ada", "bob"))
        where = client.post("/reports/2031", headers=ada).headers["Location"]

        assert client.get(where, headers=ada).json()["result"] == {"year": 2031, "pages": 12}
        assert [client.get(where, headers=headers).status_code for headers in (bob, {})] == [404, 401]


def test_progress(snippet):
    with snippet.client() as client:
        job = snippet.queue.job(client.post("/imports", json=["a", " ", "c"]).json()["job"])

        assert (job.progress.done, job.progress.total, job.progress.note) == (3, 3, "done")
        assert [line.text for line in job.log()] == ["an empty row is left out"]


def test_monitor(snippet):
    with snippet.client() as client:
        assert "outlast_workers" in client.get("/internal/metrics").text
        assert polled(lambda: client.get("/internal/healthz").json()["workers"] == 1, PATIENCE)


def test_lifespan(snippet, tmp_path, capfd):
    with served_by_uvicorn("lifespan", folder=tmp_path):
        greeting = asyncio.run(wait_for(snippet.queue, snippet.greet, "you"))

    assert greeting == "hello you"
    assert capfd.readouterr().out.count("starting the scheduler") == 1


def test_context_variables(snippet):
    with snippet.client() as client:
        client.post("/orders/7", headers={"X-Tenant": "acme"})

    assert snippet.only_job().result == '"order 7 of acme"'


def test_request_id(snippet, tmp_path, capfd):
    with served_by_uvicorn("request_id", folder=tmp_path) as client:
        client.post("/orders/7", headers={"X-Request-ID": "7f3c"})
        job = snippet.only_job()
        assert asyncio.run(snippet.queue.job(job.id).wait(timeout=20)) == "7f3c"

    assert f"INFO 7f3c {job.id} charging order 7" in capfd.readouterr().err


def test_tracing(monkeypatch, tmp_path, capfd):
    """Not imported here: a process has one provider for good."""
    monkeypatch.setenv("OUTLAST_STORE", url := f"sqlite:///{tmp_path / 'outlast.db'}")
    with served_by_uvicorn("tracing", folder=tmp_path) as client:
        client.post("/orders/7")
        queue = TaskQueue(store=url, worker="external")
        [job] = queue.ask(lambda store: store.find())
        asyncio.run(queue.job(job.id).wait(timeout=20))
        queue.close()

    found = dict(
        re.findall(r'"name": "([^"]+)",\s+"context": {\s+"trace_id": "(\w+)"', capfd.readouterr().out)
    )
    names = ("POST /orders/{order}", "process tracing:charge", "ask the bank")
    assert len({found[name] for name in names}) == 1


def test_worker_lifespan(snippet, tmp_path):
    with served_by_uvicorn("worker_lifespan", folder=tmp_path):
        pool = asyncio.run(wait_for(snippet.queue, snippet.use_pool))

    assert pool == "a small pool of connections"


def test_main_guard(snippet, tmp_path):
    port = free_port()
    source = SNIPPETS["main_guard"].read_text("utf-8")
    (tmp_path / "main.py").write_text(source.replace("port=8000", f"port={port}"))

    with served("main.py", folder=tmp_path, port=port) as client:
        client.post("/greet/you")
        [job] = snippet.jobs()
        asyncio.run(snippet.queue.job(job.id).wait(timeout=20))


async def wait_for(queue, func, *args):
    """The result of a job that the worker of a server runs."""
    with queue.switched(store=queue.url, worker="external"):
        job = await queue.aenqueue(func, *args)
        return await job.wait(timeout=20)


def test_migrate_before(snippet, tmp_path):
    sends_a_notification(snippet, tmp_path)


def test_migrate_after(snippet, tmp_path):
    sends_a_notification(snippet, tmp_path)


def sends_a_notification(snippet, folder):
    with snippet.client() as client:
        answer = client.post("/send-notification/you@example.com")

    assert answer.json() == {"message": "Notification sent in the background"}
    assert (folder / "log.txt").read_text() == "notification for you@example.com: some notification"


# ---- files of tests, which pytest runs as a user's


def test_test_app(tmp_path):
    passes(tmp_path, "main", "test_app")


def test_test_task(tmp_path):
    passes(tmp_path, "main", "test_task")


def test_conftest(tmp_path):
    """With it, a test needs not name the fixture."""
    asked = SNIPPETS["test_app"].read_text("utf-8")
    (tmp_path / "test_more.py").write_text(asked.replace("outlast_inline, ", ""))
    passes(tmp_path, "main", "conftest")


def test_shop(snippet):
    with snippet.client() as client:
        client.post("/orders/7?cents=990&email=you@example.com")

    assert [job.view for job in snippet.jobs()] == ["succeeded", "succeeded", "scheduled"]


def test_test_enqueued(tmp_path):
    passes(tmp_path, "shop", "test_enqueued")


def test_test_delay(tmp_path):
    passes(tmp_path, "shop", "test_delay")


def test_test_retry(tmp_path):
    passes(tmp_path, "shop", "test_retry")


def test_test_coroutines(tmp_path):
    passes(tmp_path, "shop", "test_coroutines")


def passes(folder, *snippets):
    for name in snippets:
        (folder / SNIPPETS[name].name).write_bytes(SNIPPETS[name].read_bytes())
    ran = projects.pytest_in(folder, *projects.WITHOUT_ASYNCIO)

    assert ran.returncode == 0, ran.stdout
    apps = {"main.py", "shop.py", "session.py", "conftest.py"}
    assert {file.name for file in folder.iterdir()} <= apps | {file.name for file in folder.glob("test_*.py")}
