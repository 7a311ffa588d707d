"""Which stored files jobs use: by their arguments, by their results, and until they are pruned."""

from __future__ import annotations

import json
from datetime import timedelta

from outlast.clock import ManualClock
from outlast.job import Erred, Succeeded
from outlast.store import JobFilter, Store
from tests.contract.making import end, new_job, take

A, B, C = (f"{letter * 64}.1" for letter in "abc")


def test_a_job_uses_the_files_of_its_arguments(store: Store) -> None:
    store.insert([new_job(store, files=json.dumps([A, B])), new_job(store)])

    assert store.files_in_use([A, C]) == {A}
    assert store.files_in_use([]) == set()


def test_a_job_uses_the_file_of_its_result_too(store: Store) -> None:
    store.insert([new_job(store, files=json.dumps([A]))])
    end(store, take(store), Succeeded("1", file=B))
    store.insert([new_job(store)])
    end(store, take(store), Succeeded("1", file=C))

    assert store.files_in_use([A, B, C]) == {A, B, C}


def test_a_result_that_comes_too_late_makes_no_file_used(store: Store) -> None:
    store.insert([new_job(store)])
    job = take(store)
    end(store, job, Erred("no", "tb", again=False))
    end(store, job, Succeeded("1", file=A))

    assert store.files_in_use([A]) == set()


def test_a_job_that_is_retried_by_hand_still_uses_its_files(store: Store) -> None:
    store.insert([new_job(store, files=json.dumps([A]))])
    job = take(store)
    end(store, job, Erred("no", "tb", again=False))
    store.retry(JobFilter(ids=(job.id,)))

    assert store.files_in_use([A]) == {A}


def test_pruning_tells_which_files_the_pruned_jobs_used(store: Store, clock: ManualClock) -> None:
    """Others may use them still."""
    for files in (json.dumps([A, B]), json.dumps([B, C]), None):
        store.insert([new_job(store, files=files)])
        end(store, take(store))
        clock.advance(timedelta(hours=1))

    first, rest = store.prune(timedelta(hours=2, minutes=30)), store.prune(timedelta(0))

    assert (first.jobs, first.files) == (1, [A, B])
    assert (rest.jobs, rest.files) == (2, [B, C])
