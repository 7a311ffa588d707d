"""Why a job is not running now: every reason that is true, each with a sentence and what to do about it.

`explain` is pure: facts in, reasons out. A reason is given if and only if it alone would keep the job from starting,
whatever became of the others; so when the last one goes, the job starts with the next look of a worker. `ask` gets
the facts from a store first. How reasons are printed is left to those who print them.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from outlast.handed import ENTRUSTED, Handed
from outlast.job import JobRecord, State
from outlast.store import MOST_AHEAD, Circumstances, Hand, Store
from outlast.store.liveness import is_alive


class Why(StrEnum):
    """Why a job is not running now; `running` and `ended` say that there is nothing to explain."""

    HELD = "held"
    WAITING = "waiting"
    NOT_DUE = "not_due"
    EXPIRED = "expired"
    PAUSED = "paused"
    NO_WORKER = "no_worker"
    UNKNOWN_TASK = "unknown_task"
    MISFIT = "misfit"
    PUBLISHED = "published"
    NOT_READY = "not_ready"
    NO_SLOT = "no_slot"
    ALONE = "alone"
    RUNNING = "running"
    ENDED = "ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """One reason why a job is not running now."""

    why: Why
    text: str
    """A sentence. It quotes no argument."""
    cure: str | None = None
    """The command that removes it, or shows more; None when it goes by itself."""
    until: datetime | None = None
    """When it goes by itself, if that is known."""
    note: str | None = None
    """What was noted when the job was put back; it may quote an argument."""


def ask(store: Store, job_id: str) -> tuple[JobRecord, list[Explanation]]:
    """A job and why it is not running now. Raises JobNotFound."""
    around = store.circumstances(job_id)
    alive = tuple(hand for hand in around.hands if is_alive(store, hand.worker))
    return around.job, explain(replace(around, hands=alive))


def explain(around: Circumstances) -> list[Explanation]:
    """Every reason. `around.hands` are the living workers. None: a worker starts the job with its next look."""
    job = around.job
    if job.state is State.QUEUED:
        return [*_of_the_job(around), *_of_the_workers(around)]
    if job.state is State.RUNNING:
        return [_running(job)]
    return [_ended(job)]


def nothing_holds(job: JobRecord) -> str:
    """What is said of a queued job that has no reason left."""
    return f"Attempt {job.attempt + 1} starts as soon as a worker looks, which takes a second at most."


def uncommitted() -> Explanation:
    """Of a job that is in no store yet."""
    return Explanation(
        why=Why.HELD,
        text="It is not committed yet: what adds it, a request, a task or your own transaction, is not over.",
    )


# ---- what lies in the job and its queue ------------------------------------------------------------------------------


def _of_the_job(around: Circumstances) -> Iterator[Explanation]:
    job = around.job
    if around.is_held:
        yield Explanation(
            why=Why.HELD, text="The request that added it has not ended yet, and holds it until then."
        )
    if around.is_waiting:
        yield _waiting(around.before)
    if not _is_due(around):
        yield _not_due(job)
    if job.expires_at is not None and job.expires_at <= around.now:
        yield Explanation(
            why=Why.EXPIRED,
            text="Its time to be useful is over: it fails as soon as a worker looks, and never starts.",
        )
    if around.is_paused:
        cure = f"outlast queues resume {shlex.quote(job.queue)}"
        yield Explanation(why=Why.PAUSED, text=f"Its queue, {job.queue}, is paused.", cure=cure)


def _waiting(before: JobRecord | None) -> Explanation:
    behind = "a job before it in the same request"
    cure = None
    if before is not None:
        behind = f"job {before.id} of the same request, which is {before.view}"
        cure = f"outlast jobs explain {before.id}"
    return Explanation(
        why=Why.WAITING, text=f"It waits behind {behind}, until that has ended its first attempt.", cure=cure
    )


def _is_due(around: Circumstances) -> bool:
    """As the store goes by it. What is held or waits was due when it was added, unless it was delayed."""
    job, now = around.job, around.now
    if around.is_held or around.is_waiting:
        now = max(now, job.created_at)
    return around.is_ready or job.run_at <= now


def _not_due(job: JobRecord) -> Explanation:
    if job.note is not None:
        text = "Its time has not come: it was put back."
    elif job.failures:
        text = f"Its time has not come: it has {job.failures} of {job.max_attempts} failures, and is retried then."
    else:
        text = "Its time has not come: it was delayed."
    return Explanation(why=Why.NOT_DUE, text=text, until=job.run_at, note=job.note)


# ---- what lies in the workers ----------------------------------------------------------------------------------------


def _of_the_workers(around: Circumstances) -> Iterator[Explanation]:
    """From those who serve its queue to those with its task, a child, a slot: where nobody is left is the reason."""
    job = around.job
    if _is_published(around):
        yield _published(job)
        return
    relays = [
        hand for hand in around.hands if hand.worker.hands_over(job.queue) and not hand.worker.is_leaving
    ]
    if any(hand.ahead < _free_to_publish(around, hand) for hand in relays):
        return
    serving = [hand for hand in around.hands if hand.worker.serves(job.queue) and not hand.worker.is_leaving]
    knowing = [hand for hand in serving if job.task not in hand.worker.unknown]
    fitting = [hand for hand in knowing if job.id not in hand.worker.unknown]
    ready = [hand for hand in fitting if hand.worker.room > 0]
    if relays and not serving:
        yield _no_room(around, relays)
    elif not serving:
        yield _no_worker(job, around.hands)
    elif not knowing:
        yield _unknown_task(job, len(serving))
    elif not fitting:
        yield _misfit(job)
    elif not ready:
        yield _not_ready(len(fitting))
    elif around.is_suspect:
        yield _alone(min(hand.ahead for hand in ready))
    elif all(hand.ahead >= _free(hand) for hand in ready):
        yield _no_slot(ready)


def _is_published(around: Circumstances) -> bool:
    until = around.job.published_until
    return until is not None and until > around.now


def _published(job: JobRecord) -> Explanation:
    if job.note == ENTRUSTED:
        return _entrusted(job)
    return Explanation(
        why=Why.PUBLISHED,
        text=f"Its message is with the broker of {job.engine}, as {job.engine_id}, and no worker of {job.engine} has "
        "taken it yet. If none does, it is published again.",
        until=job.published_until,
    )


def _entrusted(job: JobRecord) -> Explanation:
    return Explanation(
        why=Why.PUBLISHED,
        text=f"It is a task of {job.engine}'s own, handed over as {job.engine_id}, and its end is to come. If none is "
        "told, it fails.",
        until=job.published_until,
    )


def _free_to_publish(around: Circumstances, relay: Hand) -> int:
    return _handed(around, relay).in_flight - around.in_flight


def _no_room(around: Circumstances, relays: Sequence[Hand]) -> Explanation:
    """Of the relay that may have most under way: it is published when its turn comes."""
    relay = max(relays, key=lambda hand: _free_to_publish(around, hand))
    handed, free = _handed(around, relay), _free_to_publish(around, relay)
    whose = _counted(handed.in_flight, "message")
    taken = f"the room that is left, {free}, goes to jobs before it" if free > 0 else "as many are"
    return Explanation(
        why=Why.NO_SLOT,
        text=f"{whose} of its queue may be under way to {handed.engine} at a time, and {taken}. {_line(relay.ahead)}",
    )


def _handed(around: Circumstances, relay: Hand) -> Handed:
    handed = relay.worker.hands_over(around.job.queue)
    assert handed is not None
    return handed


def _no_worker(job: JobRecord, others: Sequence[Hand]) -> Explanation:
    own = [hand for hand in others if hand.worker.engine is None]
    engines = sorted({hand.worker.engine for hand in others if hand.worker.engine is not None})
    cure = "outlast worker main:app"
    if any(hand.worker.serves(job.queue) for hand in own):
        text = (
            f"The last worker that serves its queue, {job.queue}, starts nothing more: it is shutting down, or it is a "
            "server that runs jobs inline and has no lasting loop."
        )
    elif own:
        alive = "1 worker lives" if len(own) == 1 else f"{len(own)} workers live"
        text = f"No living worker serves its queue, {job.queue}; {alive}, for other queues."
    elif engines:
        text = (
            f"Workers of {' and '.join(engines)} live, but no relay, which would publish the jobs of its queue, "
            f"{job.queue}, for them. Start the app's server, or a relay alone."
        )
        cure = "outlast relay main:app"
    else:
        text = f"No worker is alive, so none serves its queue, {job.queue}. Start the app's server, or a worker alone."
    return Explanation(why=Why.NO_WORKER, text=text, cure=cure)


def _unknown_task(job: JobRecord, count: int) -> Explanation:
    whose = (
        "The worker that serves its queue does"
        if count == 1
        else f"The {count} workers that serve its queue do"
    )
    return Explanation(
        why=Why.UNKNOWN_TASK,
        text=f"{whose} not have its task, {job.task}, in the code. It waits for a worker whose code has it.",
        cure="outlast check main:app",
    )


def _misfit(job: JobRecord) -> Explanation:
    return Explanation(
        why=Why.MISFIT,
        text="Its arguments do not fit the code of any worker that serves its queue. Each leaves it to others for now.",
        cure="outlast check main:app",
        note=job.note,
    )


def _not_ready(count: int) -> Explanation:
    whose = (
        "The worker that could run it has" if count == 1 else f"The {count} workers that could run it have"
    )
    return Explanation(
        why=Why.NOT_READY,
        text=f"{whose} no child that is ready: the app is starting, or does not start, and the worker's log says why.",
        cure="outlast check main:app",
    )


def _alone(ahead: int) -> Explanation:
    return Explanation(
        why=Why.ALONE,
        text=f"A child process died with it, so it runs alone, in a child that is kept free for it. {_line(ahead)}",
    )


def _no_slot(ready: Sequence[Hand]) -> Explanation:
    free = sum(max(0, _free(hand)) for hand in ready)
    room, whose = sum(hand.worker.room for hand in ready), _counted(len(ready), "worker")
    if free:
        slots = f"The free slots, {free} of {whose}, go to jobs before it."
    elif room == 1:
        slots = "The one slot of the worker that could run it is taken."
    else:
        slots = f"All {room} slots of {whose} that could run it are taken."
    return Explanation(why=Why.NO_SLOT, text=f"{slots} {_line(min(hand.ahead for hand in ready))}")


def _free(hand: Hand) -> int:
    return hand.worker.room - hand.running


def _line(ahead: int) -> str:
    if ahead >= MOST_AHEAD:
        return f"{MOST_AHEAD:,} jobs or more are before it in line."
    if ahead == 0:
        return "It is next in line."
    return f"{_counted(ahead, 'job')} {'is' if ahead == 1 else 'are'} before it in line."


def _counted(count: int, one: str) -> str:
    return f"{count:,} {one}" if count == 1 else f"{count:,} {one}s"


# ---- nothing to explain ----------------------------------------------------------------------------------------------


def _running(job: JobRecord) -> Explanation:
    if job.cancel_requested_at is not None:
        text = f"Attempt {job.attempt} is running, and was asked to stop: it is cancelled once its code has stopped."
    else:
        text = f"Attempt {job.attempt} is running."
    return Explanation(why=Why.RUNNING, text=text)


def _ended(job: JobRecord) -> Explanation:
    if job.state is State.SUCCEEDED:
        return Explanation(why=Why.ENDED, text="Nothing more happens: it has succeeded.")
    reason = "" if job.reason is None else f" ({job.reason})"
    return Explanation(
        why=Why.ENDED,
        text=f"Nothing more happens: it has {'failed' if reason else 'been cancelled'}{reason}, unless it is retried.",
        cure=f"outlast jobs retry {job.id}",
    )
