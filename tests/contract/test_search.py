"""How people find jobs among many: filters, pages, counts, groups; and what they do with what they have found."""

from datetime import timedelta

import pytest

from outlast.clock import to_instant
from outlast.errors import JobNotFound
from outlast.handed import Handed
from outlast.job import Crashed, Erred, State, Succeeded, new_id
from outlast.store import QUEUED_VIEWS, JobFilter, sql_search
from tests.contract.making import end, ids, new_chain, new_job, put, take

HOUR = timedelta(hours=1)


@pytest.fixture
def small_windows(monkeypatch):
    """As if there were more jobs than are looked through."""
    monkeypatch.setattr(sql_search, "_WINDOW", 4)
    monkeypatch.setattr(sql_search, "_WINDOWS", 2)
    monkeypatch.setattr(sql_search, "_FEW", 2)
    monkeypatch.setattr(sql_search, "_DISORDER", 0)


def fail(store, job, error="ValueError: no"):
    end(store, job, Erred(error, "Traceback …", again=False))


@pytest.fixture
def one_in_each_view(store, clock):
    """A job in each view of `counts`, by its name."""
    held, waiting = put(store, held_by="server"), put(store, waiting=1)
    scheduled = put(store, delay=HOUR)
    names = ("retrying", "running", "succeeded", "failed", "suspect")
    found = {name: put(store, priority=9 - number) for number, name in enumerate(names)}
    cancelled = put(store)
    store.cancel(JobFilter(ids=(cancelled,)))
    claimed = {job.id: job for job in store.claim("w1", 5)}
    end(store, claimed[found["retrying"]], Erred("ValueError: no", "tb"))
    end(store, claimed[found["succeeded"]])
    fail(store, claimed[found["failed"]])
    end(store, claimed[found.pop("suspect")], Crashed("signal 11", alone=False))
    published = put(store, queue="mail")
    store.offer([Handed(queue="mail", engine="celery", in_flight=9, lease=HOUR)])
    ready = put(store)
    return found | {
        "published": published,
        "held": held,
        "waiting": waiting,
        "scheduled": scheduled,
        "cancelled": cancelled,
        "ready": ready,
    }


# ---- which -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("view", QUEUED_VIEWS)
def test_a_view_of_queued_jobs_is_found(store, one_in_each_view, view):
    found = ids(store.search(JobFilter(view=view)).jobs)

    assert one_in_each_view[view] in found
    assert len(found) == (2 if view == "ready" else 1)  # the suspect is ready, too


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("how", ["by the index", "through windows"])
def test_a_state_is_found(store, one_in_each_view, state, how, request):
    if how == "through windows":
        request.getfixturevalue("small_windows")
    found = all_pages(store, JobFilter(state=state), limit=3)

    assert found == ids(store.find(JobFilter(state=state)))
    assert found


def test_jobs_are_found_by_a_part_of_their_arguments(store):
    bob = put(store, luggage='{"to":"Bob@Example.com"}')
    put(store, luggage='{"to":"eve@example.com"}')

    assert ids(store.search(JobFilter(text="bob@")).jobs) == [bob]
    assert ids(store.search(JobFilter(text="B@EXAMPLE")).jobs) == [bob]
    assert ids(store.search(JobFilter(text="%")).jobs) == []
    assert ids(store.search(JobFilter(text="'")).jobs) == []


def test_a_list_has_only_the_beginning_of_long_arguments(store):
    """To see it fail: search as `find` does; a page of fifty may then bring fifty megabytes."""
    text = '{"to":"' + "x" * 100_000 + '"}'
    for task in ("app:a", "app:b"):
        put(store, task=task, luggage=text)
    fail(store, store.claim("w1", 1)[0])

    for which in (JobFilter(), JobFilter(state=State.FAILED)):
        assert {len(job.luggage) for job in store.search(which).jobs} == {4000}
    assert {len(job.luggage) for job in store.find()} == {len(text)}


def test_jobs_are_found_by_when_they_were_added(store, clock):
    added = []
    for _ in range(5):
        added.append(put(store))
        clock.advance(HOUR)
    third = store.get(added[2]).created_at

    assert ids(store.search(JobFilter(since=third)).jobs) == [added[4], added[3], added[2]]
    assert ids(store.search(JobFilter(until=third)).jobs) == [added[1], added[0]]
    assert ids(store.search(JobFilter(since=third, until=third + HOUR)).jobs) == [added[2]]


def test_jobs_are_found_by_the_kind_of_their_error(store):
    for error in ("ValueError: a: b", "ValueError", "ValueErrorToo: c", "timed out after 30 s"):
        put(store)
        fail(store, take(store), error)

    assert errors(store, "ValueError") == ["ValueError", "ValueError: a: b"]
    assert errors(store, "ValueErrorToo") == ["ValueErrorToo: c"]
    assert errors(store, "timed out after 30 s") == ["timed out after 30 s"]


def errors(store, kind):
    return [job.error for job in store.search(JobFilter(error=kind)).jobs]


# ---- pages -----------------------------------------------------------------------------------------------------------


def all_pages(store, which, *, limit=2, most=50):
    """The ids on every page."""
    found, before = [], None
    for _ in range(most):
        page = store.search(which, limit=limit, before=before)
        assert len(page.jobs) <= limit
        found += ids(page.jobs)
        before = page.next
        if before is None:
            return found
    raise AssertionError("there is no last page")


def test_pages_together_have_every_job_once(store, small_windows):
    added = [put(store, task=f"app:{number % 3}") for number in range(30)]

    assert all_pages(store, JobFilter()) == added[::-1]
    assert all_pages(store, JobFilter(task="app:1")) == added[1::3][::-1]
    assert all_pages(store, JobFilter(task="app:9")) == []


def test_a_search_looks_through_so_many_and_says_where_to_go_on(store, small_windows):
    """To see it fail: look on until enough are found, however many there are."""
    oldest = put(store, task="app:rare")
    for _ in range(30):
        put(store)

    page = store.search(JobFilter(task="app:rare"))

    assert (page.jobs, page.is_cut) == ([], True)
    assert page.next is not None
    assert all_pages(store, JobFilter(task="app:rare")) == [oldest]


def test_a_search_leaps_over_what_has_been_pruned(store, clock, small_windows):
    oldest = put(store)
    for _ in range(40):
        put(store, priority=1)
        end(store, store.claim("w1", 1)[0])
    newest = put(store)
    clock.advance(HOUR)
    store.prune(timedelta(minutes=1))

    assert ids(store.search(JobFilter()).jobs) == [newest, oldest]


def test_a_search_in_time_begins_there_and_ends_there(store, clock, small_windows):
    added = []
    for _ in range(40):
        added.append(put(store))
        clock.advance(timedelta(minutes=1))
    which = JobFilter(since=store.get(added[5]).created_at, until=store.get(added[9]).created_at)

    page = store.search(which)

    assert ids(page.jobs) == added[5:9][::-1]
    assert page.next is None


def test_a_search_of_the_last_minutes_does_not_go_on_to_the_first(store, clock, small_windows):
    """To see it fail: look further although all that lie below were added before."""
    added = []
    for _ in range(40):
        added.append(put(store))
        clock.advance(timedelta(minutes=1))

    page = store.search(JobFilter(since=store.get(added[37]).created_at))

    assert (ids(page.jobs), page.next, page.is_cut) == (added[37:][::-1], None, False)


def test_what_ends_while_pages_are_turned_is_neither_lost_nor_told_twice(store, small_windows):
    added = [put(store) for _ in range(9)]
    for job in store.claim("w1", 9):
        fail(store, job)
    first = store.search(JobFilter(state=State.FAILED), limit=3)
    store.retry(JobFilter(ids=tuple(ids(first.jobs))))

    second = store.search(JobFilter(state=State.FAILED), limit=3, before=first.next)

    assert ids(first.jobs) + ids(second.jobs) == added[::-1][:6]


# ---- counts ----------------------------------------------------------------------------------------------------------


def test_a_tally_counts_as_counts_does(store, one_in_each_view):
    tally = store.tally()

    assert tally.counts == store.counts()
    assert tally.at_least == frozenset()
    assert store.tally(JobFilter(state=State.FAILED)) == tally


def test_a_tally_of_a_filter_counts_what_it_finds(store, one_in_each_view):
    put(store, task="app:other", queue="mail")

    assert store.tally(JobFilter(task="app:other")).counts == {**dict.fromkeys(store.counts(), 0), "ready": 1}
    assert store.tally(JobFilter(queue="default")).total(["ready"]) == 2
    one = store.tally(JobFilter(ids=(one_in_each_view["failed"],)))
    assert (one.total(one.counts), one.counts["failed"]) == (1, 1)
    everything = store.tally(JobFilter(text="{"))
    assert everything.counts == store.counts()
    assert not everything.is_cut(everything.counts)


def test_a_tally_says_that_there_may_be_more(store, small_windows, monkeypatch):
    """To see it fail: tell what was counted as if it were all."""
    for _ in range(20):
        put(store, task="app:one")
    monkeypatch.setattr(sql_search, "MOST_COUNTED", 5)

    among = store.tally(JobFilter(task="app:one"))
    assert 0 < among.counts["ready"] < 20
    assert among.is_cut(["ready"])
    whole = store.tally()
    assert (whole.counts["ready"], whole.at_least) == (5, {"ready"})


def test_what_has_succeeded_is_counted_at_least(store, monkeypatch):
    monkeypatch.setattr(sql_search, "MOST_COUNTED", 4)
    for number in range(12):
        put(store)
        job = take(store)
        end(store, job) if number % 4 else fail(store, job)

    tally = store.tally()

    assert tally.counts["failed"] == 3
    assert tally.counts["succeeded"] == 4
    assert tally.is_cut(["succeeded"])
    assert not tally.is_cut(["failed"])


# ---- failures --------------------------------------------------------------------------------------------------------


def test_failures_are_grouped_by_task_and_kind_of_error_the_newest_first(store, clock):
    for task, error in [
        ("a", "ValueError: 1"),
        ("b", "KeyError: x"),
        ("a", "ValueError: 2"),
        ("a", "OSError"),
    ]:
        put(store, task=f"app:{task}")
        fail(store, take(store), error)
        clock.advance(HOUR)

    failed = store.failures()

    assert [(each.task, each.kind, each.count) for each in failed.groups] == [
        ("app:a", "OSError", 1),
        ("app:a", "ValueError", 2),
        ("app:b", "KeyError", 1),
    ]
    values = failed.groups[1]
    assert (values.last_error, values.last_at - values.first_at) == ("ValueError: 2", 2 * HOUR)
    assert store.get(values.last_id).error == "ValueError: 2"
    assert not failed.is_cut


def test_of_too_many_failures_the_newest_are_told(store, clock, small_windows):
    for number in range(20):
        put(store, task=f"app:{number}")
        fail(store, take(store))
        clock.advance(HOUR)

    failed = store.failures()

    assert failed.is_cut
    assert [each.task for each in failed.groups] == [f"app:{number}" for number in range(19, 11, -1)]


def test_what_has_been_retried_has_not_failed(store):
    put(store)
    fail(store, take(store))
    store.retry(JobFilter(state=State.FAILED))

    assert store.failures().groups == []


# ---- runs ------------------------------------------------------------------------------------------------------------


def test_the_slowest_runs_come_first(store, clock):
    for seconds in (3, 9, 1):
        put(store, task=f"app:{seconds}")
        job = take(store)
        clock.advance(timedelta(seconds=seconds))
        end(store, job)
    put(store)
    store.cancel(JobFilter(task="app:task"))  # never ran

    assert [job.task for job in store.slowest()] == ["app:9", "app:3", "app:1"]
    assert [job.task for job in store.slowest(task="app:3")] == ["app:3"]
    assert [job.task for job in store.slowest(limit=1)] == ["app:9"]


# ---- a request -------------------------------------------------------------------------------------------------------


def test_a_job_knows_who_is_before_and_behind_it(store):
    first, second, third = new_chain(store, 3)
    store.insert([new_job(store), first, second, third, new_job(store)])

    assert [job and job.id for job in (store.chain(second.id).before, store.chain(second.id).behind)] == [
        first.id,
        third.id,
    ]
    assert store.chain(first.id).before is None
    assert store.chain(third.id).behind is None
    end(store, store.claim("w1", 1)[0])  # whoever was before it stays so
    with pytest.raises(JobNotFound):
        store.chain(new_id())


# ---- what is done ----------------------------------------------------------------------------------------------------


def test_what_has_ended_is_deleted_with_its_attempts(store, one_in_each_view):
    deleted = store.delete(JobFilter(ids=tuple(one_in_each_view.values())))

    assert deleted.jobs == 3
    gone = [name for name, job in one_in_each_view.items() if not store.find(JobFilter(ids=(job,)))]
    assert sorted(gone) == ["cancelled", "failed", "succeeded"]
    assert store.attempts(one_in_each_view["failed"]) == []


def test_one_that_others_wait_behind_is_not_deleted(store):
    """To see it fail: delete whatever has ended; nobody then lets go what is behind it."""
    first, second, third = new_chain(store, 3)
    store.insert([first, second, third])
    store.cancel(JobFilter(ids=(second.id,)))

    assert store.delete(JobFilter(ids=(second.id,))).jobs == 0
    end(store, take(store))
    assert take(store).id == third.id
    assert store.delete(JobFilter(ids=(second.id,))).jobs == 1


def test_the_files_of_what_is_deleted_are_told(store):
    job_id = put(store, files='["a","b"]')
    end(store, take(store))

    assert store.delete(JobFilter(ids=(job_id,))).files == ["a", "b"]


def test_a_copy_runs_at_once_with_other_arguments_and_the_same_options(store, clock):
    options = {
        "queue": "mail",
        "priority": 3,
        "timeout": 5,
        "max_attempts": 2,
        "at_most_once": 1,
        "task": "app:send",
    }
    old = put(
        store, luggage='{"a":1}', files='["f"]', context='{"r":"1"}', owner="ann", expires_at=1, **options
    )
    clock.advance(HOUR)
    new = new_id()

    store.copy(old, new, '{"a":2}')

    job = store.get(new)
    assert (job.luggage, job.view, job.attempt) == ('{"a":2}', "queued", 0)
    assert (job.created_at, job.run_at, job.expires_at) == (
        to_instant(clock.now()),
        to_instant(clock.now()),
        None,
    )
    assert (job.task, job.queue, job.priority, job.max_attempts, job.owner) == (
        "app:send",
        "mail",
        3,
        2,
        "ann",
    )
    assert store.files_in_use(["f"]) == {"f"}
    [claimed] = store.claim("w1", 10)
    assert (claimed.id, claimed.at_most_once, claimed.timeout, claimed.context) == (new, 1, 5, '{"r":"1"}')
    assert store.get(old).luggage == '{"a":1}'
    with pytest.raises(JobNotFound):
        store.copy(new_id(), new_id(), "{}")


def test_a_copy_of_one_in_a_request_waits_for_nobody_and_lets_nobody_go(store):
    chain = new_chain(store, 3)
    store.insert(chain)
    new = new_id()
    store.copy(chain[1].id, new, "{}")

    assert store.get(new).view == "queued"
    assert store.chain(new).behind is None
    [first, copied] = store.claim("w1", 10)
    assert (first.id, copied.id) == (chain[0].id, new)
    end(store, copied, Succeeded())
    assert store.get(chain[2].id).view == "waiting"
