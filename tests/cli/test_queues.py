"""`outlast queues`, `outlast stats` and `outlast prune`."""

import pytest

from outlast.store import JobFilter
from tests.cli.stored import worker_record


def test_queues_are_listed_with_what_lies_in_them(ids, outlast):
    ran = outlast("queues", "list")

    assert [line.split() for line in ran.out.splitlines()] == [
        ["queue", "queued", "running", "failed", "workers"],
        ["default", "4", "1", "0", "0"],
        ["mail", "1", "0", "1", "0"],
    ]
    assert "outlast jobs list --state failed --queue mail" in ran.err


def test_a_queue_is_paused_and_resumed(ids, store, outlast):
    paused = outlast("queues", "pause", "mail")
    listed = outlast("queues", "list")
    resumed = outlast("queues", "resume", "mail")

    assert paused.out == "Paused: queue mail (1 job in it).\n"
    assert "outlast queues resume mail" in paused.err
    assert "paused" in listed.out
    assert resumed.out == "Resumed: queue mail.\n"
    assert all(queue.paused_at is None for queue in store.queues())


def test_a_queue_without_jobs_can_be_paused_with_a_word_of_caution(store, outlast):
    ran = outlast("queues", "pause", "mial")

    assert ran.code == 0
    assert "check the name" in ran.err


def test_resuming_what_is_not_paused(ids, store, outlast):
    store.pause("reports")

    fine = outlast("queues", "resume", "mail")
    missing = outlast("queues", "resume", "mial")

    assert (fine.code, fine.out) == (0, "Queue mail was not paused.\n")
    assert missing.code == 3
    assert "there is no queue mial" in missing.err
    assert "paused are: reports" in missing.err


def test_queues_in_json(ids, store, outlast):
    store.pause("mail")

    queues = {queue["name"]: queue for queue in outlast("queues", "list", "--json").json["queues"]}

    assert queues["mail"].keys() == {"name", "paused_at", "queued", "running", "failed", "served"}
    assert queues["mail"]["paused_at"].endswith("+00:00")
    assert queues["default"]["paused_at"] is None
    assert outlast("queues", "pause", "mail", "--json").json == {"queue": "mail", "paused": True}
    assert outlast("queues", "resume", "mail", "--json").json == {
        "queue": "mail",
        "paused": False,
        "was_paused": True,
    }


def test_an_empty_store_has_no_queues(store, outlast):
    assert outlast("queues", "list").out == "No queue holds a job, and none is paused.\n"


# ---- stats -----------------------------------------------------------------------------------------------------------


def test_stats_count_every_view(ids, outlast, tmp_path):
    ran = outlast("stats")

    assert str(tmp_path / "outlast.db") in ran.out
    assert "1 ready   1 running   0 published   1 retrying   1 scheduled   1 waiting   1 held" in ran.out
    assert "1 succeeded   1 failed   1 cancelled" in ran.out
    assert f"…{ids['queued'][-12:]}" in ran.out
    assert "No worker is alive" in ran.err


def test_stats_in_json(ids, store, outlast, tmp_path):
    store.enter(worker_record("w2", queues=("mail", "reports")))

    stats = outlast("stats", "--json").json

    assert stats["store"]["path"] == str(tmp_path / "outlast.db")
    assert stats["store"]["bytes"] > 0
    assert stats["jobs"]["failed"] == 1
    assert stats["oldest_ready"]["id"] == ids["queued"]
    assert {queue["name"] for queue in stats["queues"]} == {"default", "mail"}
    assert {worker["id"]: worker["queues"] for worker in stats["workers"]} == {
        "w1": None,
        "w2": ["mail", "reports"],
    }
    assert [worker["alive"] for worker in stats["workers"]] == [False, False]


def test_stats_of_an_empty_store(store, outlast):
    ran = outlast("stats")

    assert "no job waits for a worker" in ran.out
    assert ran.err == ""


# ---- prune -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "left"),
    [
        ([], {"succeeded", "failed", "cancelled"}),
        (["--older-than", "0s"], set()),
        (["--older-than", "0s", "--state", "succeeded"], {"failed", "cancelled"}),
        (["--older-than", "1h", "--state", "failed"], {"succeeded", "failed", "cancelled"}),
    ],
)
def test_what_ended_long_ago_is_pruned(words, left, ids, store, outlast):
    pruned = outlast("prune", *words, "--json").json["pruned"]

    assert pruned == 3 - len(left)
    assert {
        view for view in ("succeeded", "failed", "cancelled") if store.find(JobFilter(ids=(ids[view],)))
    } == left


def test_pruning_says_how_many(ids, outlast):
    assert outlast("prune", "--older-than", "0s").out == "Pruned 3 jobs that ended more than 0 s ago.\n"
    assert outlast("prune", "--state", "failed").out == "Pruned 0 failed jobs that ended more than 7 d ago.\n"


def test_what_has_not_ended_is_not_pruned(ids, outlast):
    ran = outlast("prune", "--state", "running")

    assert ran.code == 2
    assert "a running job has not ended" in ran.err
