"""`outlast jobs explain`, and the same reasons at the end of `outlast jobs show`."""

from datetime import UTC, datetime

import pytest

from outlast.explain import Why
from outlast.job import Released
from tests.cli.stored import new_job, run

KEYS = ["why", "text", "cure", "until", "note"]


def rows(ran):
    """What it says, by its words on the left; what has none belongs to the one above."""
    found = {}
    for line in ran.out.splitlines()[1:]:
        if not line.startswith("   "):
            word, _, text = line.strip().partition("  ")
            found[word] = [text.strip()]
        else:
            found[word].append(line.strip())
    return found


def test_each_reason_is_told_with_what_to_do_about_it(ids, store, outlast):
    store.pause("mail")

    ran = outlast("jobs", "explain", ids["retrying"][-12:])

    assert ran.code == 0
    assert ran.out.startswith(f"Job {ids['retrying']} is retrying: shop.mail:send_mail\n")
    told = rows(ran)
    assert list(told) == ["not due", "paused", "no worker"]
    assert told["not due"][1].startswith("until 20")
    assert told["paused"] == ["Its queue, mail, is paused.", "→ outlast queues resume mail"]
    assert told["no worker"][1] == "→ outlast worker main:app"
    assert f"outlast jobs show {ids['retrying'][-12:]}" in ran.err


def test_a_note_is_told_to_people_at_the_command_line(store, outlast):
    job_id = run(store, new_job(), Released("does not fit", 1_000_000_000, begun=False))

    assert "noted: does not fit" in rows(outlast("jobs", "explain", job_id))["not due"]
    assert outlast("jobs", "explain", job_id, "--json").json["reasons"][0]["note"] == "does not fit"


@pytest.mark.parametrize(
    ("view", "word"),
    [
        ("running", "running"),
        ("succeeded", "ended"),
        ("failed", "ended"),
        ("cancelled", "ended"),
        ("held", "held"),
        ("waiting", "waiting"),
        ("scheduled", "not due"),
        ("queued", "no worker"),
    ],
)
def test_a_job_in_any_state_is_explained(view, word, ids, outlast):
    assert word in rows(outlast("jobs", "explain", ids[view]))


def test_a_failed_job_says_how_it_is_retried(ids, outlast):
    assert rows(outlast("jobs", "explain", ids["failed"]))["ended"] == [
        "Nothing more happens: it has failed (error), unless it is retried.",
        f"→ outlast jobs retry {ids['failed']}",
    ]


def test_the_json_has_every_field_of_a_reason(ids, store, outlast):
    store.pause("mail")

    told = outlast("jobs", "explain", ids["retrying"], "--json").json

    assert list(told) == ["id", "state", "view", "reasons"]
    assert (told["id"], told["state"], told["view"]) == (ids["retrying"], "queued", "retrying")
    assert [list(reason) for reason in told["reasons"]] == [KEYS] * 3
    assert [reason["why"] for reason in told["reasons"]] == [Why.NOT_DUE, Why.PAUSED, Why.NO_WORKER]
    assert datetime.fromisoformat(told["reasons"][0]["until"]) > datetime.now(UTC)


def test_the_commands_name_the_store_where_they_must(ids, store, outlast, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path.parent)
    store.pause("mail")

    for words in (("jobs", "explain", ids["retrying"]), ("jobs", "explain", ids["retrying"], "--json")):
        assert f"outlast queues resume mail --store {store.url}" in outlast(*words, "--store", store.url).out


def test_a_job_is_shown_with_the_same_reasons(ids, store, outlast):
    store.pause("mail")
    for job_id in ids.values():
        reasons = outlast("jobs", "explain", job_id, "--json").json["reasons"]
        shown = outlast("jobs", "show", job_id, "--json").json["next"]

        assert [
            sentence[: len(reason["text"])] for reason, sentence in zip(reasons, shown, strict=False)
        ] == [reason["text"] for reason in reasons]


def test_a_narrow_terminal_breaks_sentences_and_loses_none(ids, store, outlast, monkeypatch):
    store.pause("mail")
    monkeypatch.setenv("COLUMNS", "60")

    ran = outlast("jobs", "explain", ids["retrying"])

    assert max(map(len, ran.out.splitlines()[1:])) <= 60
    assert "Start the app's server, or a worker alone." in " ".join(ran.out.split())
