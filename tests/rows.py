"""A job as a server would write it, made with as few words as a test needs."""

from typing import Any

from outlast.job import NewJob, new_id


def row(now: int, **fields: Any) -> NewJob:
    """A job of `app:task` that may start at once; `now` in microseconds. The fields say what is otherwise."""
    plain = NewJob(
        id=new_id(),
        task="app:task",
        queue="default",
        priority=0,
        luggage="{}",
        files=None,
        context=None,
        owner=None,
        created_at=now,
        run_at=now,
        expires_at=None,
        timeout=None,
        max_attempts=5,
        retry=None,
        at_most_once=0,
        next_id=None,
        waiting=0,
        held_by=None,
    )
    return plain._replace(**fields)
