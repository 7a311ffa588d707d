"""`outlast check`: what it finds wrong with an app and its store."""

import sqlite3
from contextlib import closing

import pytest

from outlast.cli import findings
from outlast.cli.probe import AppFacts, JobFacts
from outlast.store import JobFilter, open_store, sqlite_file
from tests.cli.stored import fill, made, new_job, run

APP = """
from fastapi import FastAPI
from outlast import TaskQueue

app = FastAPI()
queue = TaskQueue(app{options})

def send_mail(to, on): ...
def monthly(to, on): ...
"""


@pytest.fixture
def main(tmp_path):
    def write(text: str = APP, options: str = "", name: str = "main.py") -> None:
        (tmp_path / name).write_text(text.replace("{options}", options))

    return write


def found(ran, level: str) -> list[str]:
    return [f"{each['about']}: {each['text']}" for each in ran.json["findings"] if each["level"] == level]


def test_an_app_before_its_first_start_is_fine(main, outlast, tmp_path):
    main()

    ran = outlast("check", "--json")

    assert ran.code == 0
    assert ran.json["ok"]
    assert found(ran, "error") == found(ran, "warning") == []
    assert any("main:app (found in main.py) can be imported" in text for text in found(ran, "ok"))
    assert f"store: there is no store at {tmp_path / 'outlast.db'} yet" in found(ran, "note")[-1]
    assert not (tmp_path / "outlast.db").exists()


def test_the_findings_read_well(main, outlast):
    main()

    lines = outlast("check").out.splitlines()

    assert lines[0].split()[:2] == ["ok", "app"]
    assert lines[-1] == "Nothing is wrong."


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("from fastapi import FastAPI\napp = FastAPI()", "no TaskQueue was made there"),
        ("raise RuntimeError('no')", "main:app cannot be imported"),
        ("import sys; sys.exit(3)", "importing main ended the process"),
        (
            "from fastapi import FastAPI\nsite = FastAPI()",
            "main has no attribute 'app'; name the app that is there: main:NAME",
        ),
    ],
)
def test_an_app_that_cannot_be_used_is_an_error(text, told, main, outlast):
    main(text)

    ran = outlast("check", "main:app", "--json")

    assert ran.code == 1
    assert not ran.json["ok"]
    assert told in found(ran, "error")[0]


def test_no_app_at_all_is_an_error_and_the_store_is_looked_at_all_the_same(ids, outlast, tmp_path):
    ran = outlast("check")

    assert ran.code == 1
    assert "no app found in" in ran.out
    assert f"{tmp_path / 'outlast.db'} can be read and written" in ran.out


def test_what_the_app_prints_stays_out_of_the_answer(main, outlast):
    main("print('hello')\n" + APP)

    assert outlast("check", "--json").json["ok"]


def test_a_route_with_fastapis_own_background_tasks_is_found(main, outlast):
    main(
        APP
        + """
from fastapi import BackgroundTasks

@app.post("/old")
async def old(tasks: BackgroundTasks): ...
"""
    )

    (warning,) = found(outlast("check", "--json"), "warning")

    assert "main.py:" in warning
    assert "'tasks' of old is FastAPI's own BackgroundTasks" in warning


def test_jobs_whose_task_is_gone_are_found(main, outlast, tmp_path):
    main()
    store = made(tmp_path / "outlast.db")
    store.insert([new_job("main:send_mail"), new_job("main:gone"), new_job("main:gone")])
    store.close()

    ran = outlast("check", "--json")

    assert [text for text in found(ran, "warning") if "main:gone" in text] == found(ran, "warning")[:1]
    assert "2 jobs of main:gone cannot run with this code" in found(ran, "warning")[0]


CHANGED = """
import asyncio
from fastapi import FastAPI
from outlast import TaskQueue

app = FastAPI()
queue = TaskQueue(app)

def send_mail(to, on, currency): ...

@queue.task(aliases=["weekly"])
def monthly(to, on): ...
"""


@pytest.fixture
def production(tmp_path):
    """A store of the release that runs now, elsewhere: with three jobs that the new code cannot run, one running."""
    (tmp_path / "srv").mkdir()
    store = made(tmp_path / "srv" / "production.db")
    running = run(store, new_job("main:send_mail"))
    store.insert([new_job("main:send_mail"), new_job("main:gone", waiting=1)])
    store.insert([new_job("main:monthly", held_by="server"), new_job("main:weekly")])
    store.close()
    return running


AGAINST = ("check", "--against", "sqlite:///srv/production.db")


def test_the_jobs_of_another_store_are_checked_against_this_code(main, production, outlast, tmp_path):
    """To see it fail: look at queued jobs only; or leave the count of those that fit out."""
    main(CHANGED)
    before = {path.name: path.read_bytes() for path in (tmp_path / "srv").iterdir()}

    ran = outlast(*AGAINST, "--json")

    assert ran.code == 1
    gone, mail = [each for each in ran.json["findings"] if each["level"] == "error"]
    assert gone["text"].startswith("1 job of main:gone cannot run with this code: main:gone is not there")
    assert "aliases=['gone']" in gone["cure"]
    assert mail["text"].startswith(
        "2 jobs of main:send_mail (1 of them running now) cannot run with this code: send_mail() needs 'currency' now"
    )
    assert (mail["task"], mail["jobs"], mail["cure"].split(",")[0]) == (
        "main:send_mail",
        2,
        "give it a default",
    )
    assert mail["example"] in mail["text"]
    assert "tasks: 2 queued or running jobs would run with this code" in found(ran, "ok")
    assert not (tmp_path / "outlast.db").exists()
    assert {path.name: path.read_bytes() for path in (tmp_path / "srv").iterdir()} == before


def test_code_that_all_jobs_fit_passes(main, production, outlast):
    main(CHANGED.replace("currency", "currency='EUR'") + "\ngone = send_mail\n")

    ran = outlast(*AGAINST, "--json")

    assert ran.code == 0
    assert "tasks: 5 queued or running jobs would run with this code" in found(ran, "ok")


def test_of_its_own_store_the_same_is_a_warning(main, production, outlast):
    main(CHANGED)

    ran = outlast("check", "--store", "sqlite:///srv/production.db", "--json")

    assert ran.code == 0
    assert [each["task"] for each in ran.json["findings"] if each["level"] == "warning"][:2] == [
        "main:gone",
        "main:send_mail",
    ]


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("sqlite:///none.db", "there is no store at"),
        ("mysql://x", "no store understands"),
        ("sqlite://", "in memory"),
    ],
)
def test_a_store_that_cannot_be_checked_against_is_an_error(main, outlast, url, told):
    main(CHANGED)

    ran = outlast("check", "--against", url, "--json")

    assert ran.code == 1
    assert told in found(ran, "error")[0]


def test_what_hinders_the_jobs_of_a_store_is_found(main, outlast, tmp_path):
    main(options=", worker='external'")
    store = made(tmp_path / "outlast.db")
    fill(store)
    store.pause("mail")
    store.close()

    warnings = found(outlast("check", "--json"), "warning")

    assert any("no worker is alive; 4 jobs wait" in text for text in warnings)
    assert any("queue mail is paused; 1 job waits in it" in text for text in warnings)
    assert "1 failed job" in found(outlast("check", "--json"), "note")[-1]


def test_a_store_that_cannot_be_used_is_an_error(main, outlast, tmp_path):
    main()
    (tmp_path / "outlast.db").write_bytes(b"no database at all" * 100)

    ran = outlast("check", "--json")

    assert ran.code == 1
    assert "is not an SQLite database" in found(ran, "error")[0]


def test_a_store_of_a_newer_outlast_is_an_error(main, store, outlast, tmp_path):
    main()
    store.close()
    with sqlite3.connect(tmp_path / "outlast.db") as newer:
        newer.execute("PRAGMA user_version = 999")
    newer.close()

    assert "newer Outlast" in found(outlast("check", "--json"), "error")[0]


def test_a_store_of_an_older_outlast_is_only_read(main, outlast, tmp_path, monkeypatch):
    """It may be that of older code at work, which could not use it any more. To see it fail: open it to write."""
    main()
    with monkeypatch.context() as patch:
        patch.setattr(sqlite_file, "_MIGRATIONS", sqlite_file._MIGRATIONS[:1])
        open_store(f"sqlite:///{tmp_path}/outlast.db", even_moved=True).close()
    with closing(sqlite3.connect(tmp_path / "outlast.db")) as older:
        older.execute("PRAGMA user_version = 1")
    before = (tmp_path / "outlast.db").read_bytes()

    ran = outlast("check", "--json")

    assert ran.code == 0, ran.out
    assert any("made by an older Outlast" in told for told in found(ran, "note"))
    assert (tmp_path / "outlast.db").read_bytes() == before
    assert sorted(path.name for path in tmp_path.glob("outlast.db*")) == ["outlast.db"]


@pytest.mark.parametrize("words", [[], ["--against", "sqlite:///outlast.db"]], ids=["", "against"])
def test_a_store_that_was_moved_is_an_error_with_where_it_is(words, main, ids, store, outlast):
    main()
    store.close()
    outlast("move", "sqlite:///outlast.db", "sqlite:///new.db")

    ran = outlast("check", *words, "--json")

    assert ran.code == 1
    assert any("were moved to sqlite:///" in told for told in found(ran, "error"))


def test_no_password_is_seen_among_the_arguments_of_a_process(main, outlast, tmp_path):
    """The app is imported by a process of its own, whose arguments everybody on the machine can read.

    To see it fail: give the URL to the probe as a word.
    """
    main(
        "import sys\nfrom pathlib import Path\nPath('seen').write_text(Path('/proc/self/cmdline').read_text())\n"
        + APP
    )

    ran = outlast("check", "--against", "postgresql://app:s3cret@127.0.0.1:1/shop", "--json")

    assert "//app@127.0.0.1:1/shop cannot be reached" in found(ran, "error")[0]
    assert "outlast.cli.probe" in (tmp_path / "seen").read_text()
    assert "s3cret" not in (tmp_path / "seen").read_text() + ran.out + ran.err


def test_a_store_in_a_folder_that_is_not_there_is_an_error(main, outlast):
    main(options=", store='sqlite:///missing/outlast.db'")

    ran = outlast("check", "--json")

    assert "mkdir -p" in found(ran, "error")[0]


def test_inline_in_several_servers_is_warned_of(main, outlast, monkeypatch):
    main(options=", worker='inline'")
    assert found(outlast("check", "--json"), "warning") == []
    monkeypatch.setenv("WEB_CONCURRENCY", "4")

    assert "4 server processes" in found(outlast("check", "--json"), "warning")[0]


def test_another_store_can_be_checked(main, outlast, tmp_path):
    main()
    other = made(tmp_path / "other.db")
    other.insert([new_job("main:send_mail")])
    other.cancel(JobFilter())
    other.close()

    ran = outlast("check", "--store", "sqlite:///other.db", "--json")

    assert any(f"{tmp_path / 'other.db'} can be read and written" in text for text in found(ran, "ok"))


@pytest.mark.parametrize(
    ("version", "level"),
    [
        ((3, 40, 1), "note"),
        ((3, 44, 5), "note"),
        ((3, 44, 6), "ok"),
        ((3, 50, 7), "ok"),
        ((3, 51, 2), "note"),
        ((3, 51, 3), "ok"),
        ((3, 53, 0), "ok"),
    ],
)
def test_an_sqlite_with_the_bug_is_noted(version, level):
    assert [each.level for each in findings.of_sqlite(version)] == [level]


@pytest.mark.parametrize(
    ("version", "by_stacks", "levels"),
    [
        ("0.120.4", True, ["error"]),
        ("0.121.0", True, ["ok"]),
        ("0.165.3", False, ["ok", "note"]),
        ("0.166.0", True, ["note"]),
        ("1.0.0rc1", True, ["note"]),
    ],
)
def test_the_version_of_fastapi_and_its_seam(version, by_stacks, levels):
    facts = AppFacts(
        url="sqlite:///outlast.db",
        worker="process",
        fastapi=version,
        by_stacks=by_stacks,
        plain=[],
        jobs=JobFacts(url="sqlite:///outlast.db"),
    )

    assert [each.level for each in findings.of_fastapi(facts)] == levels
