"""`outlast jobs list`, `show`, `retry` and `cancel`, on a store with a job in each state."""

import json
import re
import threading

import pytest

from outlast.files import files_url, open_files
from outlast.files.sources import Memory
from outlast.job import Ended, Line, State, Step, Succeeded, Told
from outlast.luggage.stand_in import stand_in
from outlast.store import JobFilter
from tests.cli.stored import erred, made, new_job, run

ENDED = ("succeeded", "failed", "cancelled")


# ---- list ------------------------------------------------------------------------------------------------------------


def test_the_list_has_a_line_for_each_job_newest_first(ids, outlast):
    ran = outlast("jobs", "list")

    lines = ran.out.splitlines()[1:]
    assert ran.code == 0
    assert [line.split()[1] for line in lines] == [
        *("queued", "held", "waiting", "scheduled", "cancelled", "running", "retrying", "failed", "succeeded")
    ]
    assert all(job_id in ran.out for job_id in ids.values())


def test_the_list_suggests_to_look_at_what_failed(ids, outlast):
    assert f"outlast jobs show {ids['failed'][-12:]}" in outlast("jobs", "list").err


def test_the_list_can_be_narrowed_down(ids, outlast):
    ran = outlast(
        "jobs", "list", "--state", "queued", "--queue", "mail", "--task", "shop.mail:send_mail", "--json"
    )

    assert [job["id"] for job in ran.json["jobs"]] == [ids["retrying"]]


def test_the_list_says_how_to_page_on(ids, outlast):
    first = outlast("jobs", "list", "--limit", "4", "--json").json
    command = next(
        line for line in outlast("jobs", "list", "--limit", "4").err.splitlines() if "--before" in line
    )
    second = outlast(*command.partition("outlast ")[2].split(), "--json").json

    assert first["before"] == first["jobs"][-1]["id"]
    assert len({job["id"] for job in first["jobs"] + second["jobs"]}) == 8
    assert outlast("jobs", "list", "--before", ids["failed"], "--json").json == {
        "jobs": [outlast("jobs", "list", "--state", "succeeded", "--json").json["jobs"][0]],
        "before": None,
    }


def test_a_page_before_a_job_that_is_not_there_is_an_error(ids, outlast):
    assert outlast("jobs", "list", "--before", new_job().id).code == 3


def test_an_empty_list_says_so(store, outlast):
    assert outlast("jobs", "list").out == "No jobs yet.\n"
    assert outlast("jobs", "list", "--queue", "mail").out == "No jobs match.\n"


def test_a_task_without_its_module_gets_a_hint(ids, outlast):
    assert "A task is named MODULE:FUNCTION" in outlast("jobs", "list", "--task", "send_mail").err


def test_what_an_error_quotes_is_only_text(store, outlast):
    job_id = run(store, new_job(), erred("ValueError: [bold red]no[/] \x1b[2J", again=False))

    for ran in (outlast("jobs", "list"), outlast("jobs", "show", job_id), outlast("jobs", "wait", job_id)):
        assert "ValueError: [bold red]no[/] \N{REPLACEMENT CHARACTER}[2J" in ran.out


@pytest.mark.parametrize("width", [80, 120, 160])
def test_the_list_fits_its_terminal_and_what_matters_is_not_cut_off(ids, store, outlast, monkeypatch, width):
    store.insert([new_job("company.services.newsletters.tasks:send_to_everyone", queue="newsletters-bulk")])
    monkeypatch.setenv("COLUMNS", str(width))

    lines = outlast("jobs", "list").out.splitlines()

    assert len(lines) == 11
    assert max(map(len, lines)) <= width
    assert re.search(r"queued +(company|…).*to_everyone +newsletters-.* +0/5 +waits", lines[1])
    assert [ids["failed"][-12:] in line for line in lines].count(True) == 1
    assert ("ConnectionError" in lines[-2], ids["failed"] in lines[-2]) == (width >= 120, width == 160)


# ---- show ------------------------------------------------------------------------------------------------------------


def test_a_job_is_shown_with_its_arguments_attempts_and_what_comes(ids, outlast):
    ran = outlast("jobs", "show", ids["failed"])

    assert ran.code == 0
    assert "to  'ada@example.org'" in ran.out
    assert "on  date('2026-01-01')" in ran.out
    assert "Attempt 1 erred" in ran.out
    assert '    File "/srv/shop/mail.py", line 12, in send_mail' in ran.out
    assert f"outlast jobs retry {ids['failed']}" in ran.out.split("Next")[1]


def test_a_file_is_shown_by_its_name_type_and_size(store, outlast):
    name, headers = f"{'0' * 64}.1", [["content-disposition", "x"], ["Content-Type", "image/png"]]
    files = [{"$": ["file", name, "cat.png", headers, 12_000_000]}, {"$": ["file", name, None, [], 5]}]
    store.insert([job := new_job(luggage=json.dumps({"files": files}), files=json.dumps([name]))])

    ran = outlast("jobs", "show", job.id)

    assert "files  [file('cat.png', image/png, 12.0 MB), file(None, 5 B)]" in ran.out
    assert "0000" not in ran.out


@pytest.mark.parametrize("place", ["beside the store", "where the environment says"])
def test_arguments_and_results_in_files_are_read_back(store, outlast, tmp_path, monkeypatch, place):
    url = None
    if place == "where the environment says":
        url = f"file:{tmp_path / 'elsewhere'}"
        monkeypatch.setenv("OUTLAST_FILES", url)
    files = open_files(files_url(url, store.url))
    names = [files.put(Memory(text.encode()), 0) for text in ('{"to":"ada","@":7}', '"done"')]
    luggage, result = (stand_in(name, 10) for name in names)
    run(store, job := new_job(luggage=luggage, files=json.dumps(names[:1])), Succeeded(result, file=names[1]))

    ran = outlast("jobs", "show", job.id)
    assert "to  'ada'" in ran.out
    assert "result   'done'" in ran.out
    told = outlast("jobs", "show", job.id, "--json").json
    assert (told["arguments"], told["result"]) == ({"to": "ada"}, "done")


def test_arguments_in_a_file_that_is_gone_are_told_with_the_cure(store, outlast):
    name = f"{'0' * 64}.1"
    store.insert([job := new_job(luggage=stand_in(name, 5_000_000), files=json.dumps([name]))])

    ran = outlast("jobs", "show", job.id)

    assert ran.code == 0
    assert f"(5.0 MB in the stored file {name})" in ran.out
    assert f"what job {job.id} carries is not there" in ran.err
    assert "OUTLAST_FILES" in ran.err


@pytest.mark.parametrize(
    ("view", "told"),
    [
        ("queued", "No worker is alive, so none serves its queue, default."),
        ("scheduled", "Its time has not come: it was delayed. Due 20"),
        ("scheduled", "It fails if it has not started by"),
        ("retrying", "Its time has not come: it has 1 of 5 failures, and is retried then. Due 20"),
        ("retrying", "It has failed for good after 4 more failures."),
        ("waiting", "behind a job before it in the same request, until that has ended its first attempt"),
        ("held", "The request that added it has not ended yet"),
        ("running", "Attempt 1 is running."),
        ("running", "It is stopped if it takes longer than 2 m."),
        ("succeeded", "Nothing more happens: it has succeeded."),
        ("cancelled", "Nothing more happens: it has been cancelled, unless it is retried."),
    ],
)
def test_what_happens_next(view, told, ids, outlast):
    ran = outlast("jobs", "show", ids[view])

    assert told in ran.out.split("Next")[1]
    assert any(told in sentence for sentence in outlast("jobs", "show", ids[view], "--json").json["next"])


def test_a_job_that_nobody_can_run_says_why(ids, store, outlast):
    store.pause("mail")

    told = outlast("jobs", "show", ids["retrying"]).out.split("Next")[1]

    assert "outlast queues resume mail" in told
    assert "none serves its queue, mail" in told


def test_a_job_that_was_asked_to_stop_says_so(ids, store, outlast):
    store.cancel(JobFilter(ids=(ids["running"],)))

    assert "was asked to stop" in outlast("jobs", "show", ids["running"]).out


def test_the_result_is_shown_as_a_person_would_write_it(ids, outlast):
    assert "result   decimal('12.50')" in outlast("jobs", "show", ids["succeeded"]).out


def test_the_json_of_a_job_has_everything(ids, outlast):
    shown = outlast("jobs", "show", ids["failed"], "--json").json

    assert shown["arguments"] == {"to": "ada@example.org", "on": {"$": ["date", "2026-01-01"]}}
    assert shown["state"] == shown["view"] == "failed"
    assert (shown["attempt"], shown["failures"], shown["max_attempts"]) == (1, 1, 5)
    assert shown["created_at"].endswith("+00:00")
    assert [attempt["outcome"] for attempt in shown["attempts"]] == ["erred"]
    assert "ConnectionError" in shown["attempts"][0]["traceback"]
    assert outlast("jobs", "show", ids["running"], "--json").json["timeout"] == 120.0


def test_arguments_that_are_no_json_are_shown_as_they_are(store, outlast):
    job = new_job(luggage="{broken")
    store.insert([job])

    assert "{broken" in outlast("jobs", "show", job.id).out
    assert outlast("jobs", "show", job.id, "--json").json["arguments"] == "{broken"


def test_a_huge_argument_is_cut_for_people_alone(store, outlast):
    job = new_job(luggage=json.dumps({"body": "x" * 50_000}))
    store.insert([job])

    assert len(outlast("jobs", "show", job.id).out) < 5_000
    assert len(outlast("jobs", "show", job.id, "--json").json["arguments"]["body"]) == 50_000


# ---- ids -------------------------------------------------------------------------------------------------------------


def test_the_end_of_an_id_is_enough(ids, outlast):
    for part in (
        ids["failed"][-12:],
        ids["failed"][-6:],
        f"…{ids['failed'][-12:]}",
        ids["failed"][:28].upper(),
    ):
        assert outlast("jobs", "show", part, "--json").json["id"] == ids["failed"]


def test_an_end_that_several_ids_have_is_refused_with_them(store, outlast):
    one = new_job()
    two = one._replace(id=new_job().id[:-12] + one.id[-12:])
    store.insert([one, two])

    ran = outlast("jobs", "show", one.id[-12:])

    assert ran.code == 2
    assert one.id in ran.err
    assert two.id in ran.err


@pytest.mark.parametrize("words", [("show",), ("explain",), ("retry",), ("cancel",), ("wait",)])
def test_a_job_that_is_not_there_ends_with_3(words, ids, outlast):
    for job_id in (new_job().id, "0123456789ab"):
        ran = outlast("jobs", *words, job_id)

        assert ran.code == 3
        assert job_id in ran.err
        assert len(ran.err.strip().splitlines()) == 1


def test_too_little_of_an_id_is_refused(ids, outlast):
    assert outlast("jobs", "show", "abc").code == 2


# ---- retry -----------------------------------------------------------------------------------------------------------


def test_a_failed_job_is_queued_again(ids, store, outlast):
    ran = outlast("jobs", "retry", ids["failed"][-12:])

    assert ran.code == 0
    assert store.get(ids["failed"]).state is State.QUEUED
    assert f"outlast jobs wait {ids['failed'][-12:]}" in ran.err


@pytest.mark.parametrize("view", ["queued", "running", "succeeded"])
def test_a_job_that_has_not_failed_cannot_be_retried(view, ids, outlast):
    ran = outlast("jobs", "retry", ids[view])

    assert ran.code == 1
    assert f"job {ids[view]} is {view}: it cannot be retried" in ran.err


def test_of_several_ids_those_that_can_be_retried_are(ids, store, outlast):
    ran = outlast("jobs", "retry", new_job().id, ids["failed"], ids["running"], ids["cancelled"], "--json")

    assert ran.code == 3
    assert set(ran.json["retried"]) == {ids["failed"], ids["cancelled"]}
    assert len(ran.err.strip().splitlines()) == 2


@pytest.mark.parametrize(
    ("words", "views"),
    [
        (["--failed"], {"failed"}),
        (["--cancelled"], {"cancelled"}),
        (["--all", "--yes"], {"failed", "cancelled"}),
        (["--all", "--queue", "mail"], {"failed"}),
        (["--all", "--task", "shop.reports:monthly"], {"cancelled"}),
        (["--failed", "--queue", "other"], set()),
    ],
)
def test_all_that_match_are_retried(words, views, ids, outlast):
    ran = outlast("jobs", "retry", *words, "--json")

    assert ran.code == 0
    assert set(ran.json["retried"]) == {ids[view] for view in views}


def test_nothing_to_retry_says_so(store, outlast):
    ran = outlast("jobs", "retry", "--failed")

    assert (ran.code, ran.out) == (0, "No jobs match; nothing was retried.\n")


def test_many_are_not_touched_where_nobody_can_be_asked(ids, store, outlast):
    ran = outlast("jobs", "retry", "--all")

    assert ran.code == 2
    assert "Retry 2 jobs? Nobody is here to answer: say --yes" in ran.err
    assert store.get(ids["failed"]).state is State.FAILED


@pytest.mark.parametrize("words", [[], ["--queue", "mail"], ["ID", "--failed"], ["ID", "--queue", "mail"]])
def test_either_jobs_are_named_or_a_kind_of_them(words, ids, outlast):
    named = [ids["failed"] if word == "ID" else word for word in words]

    assert outlast("jobs", "retry", *named).code == 2


# ---- cancel ----------------------------------------------------------------------------------------------------------


def test_a_queued_job_is_cancelled_and_a_running_one_asked_to_stop(ids, store, outlast):
    ran = outlast("jobs", "cancel", ids["queued"], ids["running"], "--json")

    assert ran.code == 0
    assert ran.json == {"cancelled": [ids["queued"]], "stopping": [ids["running"]]}
    assert store.get(ids["queued"]).state is State.CANCELLED
    assert store.get(ids["running"]).cancel_requested_at is not None


def test_a_job_that_has_ended_cannot_be_cancelled(ids, outlast):
    ran = outlast("jobs", "cancel", ids["succeeded"])

    assert ran.code == 1
    assert "has ended; there is nothing to cancel" in ran.err


def test_all_of_a_queue_are_cancelled(ids, store, outlast):
    ran = outlast("jobs", "cancel", "--queue", "mail")

    assert ran.code == 0
    assert ran.out == f"Cancelled: {ids['retrying']}.\n"


def test_all_are_cancelled_only_with_a_yes(ids, store, outlast):
    assert outlast("jobs", "cancel", "--all").code == 2
    assert store.get(ids["queued"]).state is State.QUEUED

    ran = outlast("jobs", "cancel", "--all", "--yes")

    assert "Cancelled: 5 jobs." in ran.out
    assert f"Asked to stop: {ids['running']}." in ran.out
    assert store.find(JobFilter(state=State.QUEUED)) == []


def test_cancelling_needs_to_know_what(ids, outlast):
    assert outlast("jobs", "cancel").code == 2


# ---- the store -------------------------------------------------------------------------------------------------------


def test_a_store_that_is_not_there_is_never_made(tmp_path, outlast):
    for words in (["jobs", "list"], ["stats"], ["queues", "list"], ["prune"], ["jobs", "retry", "--failed"]):
        ran = outlast(*words)

        assert ran.code == 2
        assert f"there is no store at {tmp_path / 'outlast.db'}" in ran.err
        assert len(ran.err.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_nor_is_a_folder_for_it_suggested(tmp_path, outlast):
    ran = outlast("stats", "--store", "sqlite:///missing/outlast.db")

    assert ran.err.startswith(f"there is no store at {tmp_path / 'missing' / 'outlast.db'}")


def test_another_store_is_named_by_option_or_environment(ids, outlast, tmp_path, monkeypatch):
    url = f"sqlite:///{tmp_path / 'outlast.db'}"
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")

    by_option = outlast("jobs", "list", "--limit", "1", "--store", url)
    monkeypatch.setenv("OUTLAST_STORE", url)
    by_environment = outlast("jobs", "list", "--limit", "1")

    assert ids["queued"] in by_option.out
    assert ids["queued"] in by_environment.out
    assert f"--store {url}" in by_option.err
    assert "--store" not in by_environment.err


def test_a_url_that_names_no_store_is_an_error(outlast):
    ran = outlast("stats", "--store", "redis://localhost")

    assert (ran.code, ran.out) == (2, "")
    assert "no store understands 'redis://localhost'" in ran.err


# ---- what a running job tells ----------------------------------------------------------------------------------------


def tell(store, job_id, step=None, *lines, attempt=1):
    now = store.clock.now()
    written = [Line(number, now, 30, "shop", text) for number, text in enumerate(lines, 1)]
    store.keep([Told(job_id, attempt, step and Step(*step, now), written)])


def test_progress_is_shown(ids, store, outlast):
    tell(store, ids["running"], (420, 1000, "sending"))

    assert "420 of 1,000 (42%): sending" in outlast("jobs", "show", ids["running"]).out
    progress = outlast("jobs", "show", ids["running"], "--json").json["progress"]
    assert (progress["done"], progress["total"], progress["note"]) == (420, 1000, "sending")


def test_the_log_of_a_job_is_printed_with_nothing_that_a_terminal_obeys(ids, store, outlast):
    tell(store, ids["running"], None, "one [bold]two[/bold]", "\x1b[31mred")

    ran = outlast("jobs", "log", ids["running"][-12:])

    assert ran.code == 0
    assert ran.out.splitlines()[0] == "Attempt 1"
    assert "WARNING  shop: one [bold]two[/bold]" in ran.out
    assert "\x1b" not in ran.out
    lines = outlast("jobs", "log", ids["running"], "--json").json["lines"]
    assert [line["text"] for line in lines] == ["one [bold]two[/bold]", "\x1b[31mred"]


def test_where_nothing_was_logged_it_says_so(ids, outlast):
    ran = outlast("jobs", "log", ids["queued"])

    assert (ran.code, ran.out) == (0, "")
    assert "It has logged nothing" in ran.err


def test_following_a_log_ends_with_its_job(store, outlast, tmp_path):
    job_id = run(store, new_job())
    tell(store, job_id, None, "first")

    def go_on() -> None:
        other = made(tmp_path / "outlast.db")
        other.keep([Told(job_id, 1, None, [Line(2, other.clock.now(), 20, "shop", "second")])])
        other.settle([Ended(job_id, 1, Succeeded())])
        other.close()

    going_on = threading.Timer(0.1, go_on)
    going_on.start()
    ran = outlast("jobs", "log", job_id, "--follow")
    going_on.join()

    assert [line.rpartition(": ")[2] for line in ran.out.splitlines()[1:]] == ["first", "second"]
