"""What can be said of a task or of one call of it: declared once, checked here, refused with the cure. Pure."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from difflib import get_close_matches
from typing import Any, TypedDict

from outlast.errors import OptionRefused
from outlast.retry import DEFAULT, RetryPolicy

_ATTEMPTS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskOptions:
    """What can be said of a task, or of one call of it. Raises OptionRefused for what makes no sense."""

    queue: str = "default"
    """The queue its jobs go to."""
    priority: int = 0
    """Higher goes first, whatever the queue."""
    max_attempts: int | None = None
    """Attempts before a job fails for good: 5, or 1 with `at_most_once`."""
    timeout: timedelta | None = None
    """How long one attempt may take. None: as long as it likes."""
    retry: RetryPolicy = DEFAULT
    """Which errors are tried again, and after how long."""
    delay: timedelta | None = None
    """How long after it was enqueued a job may start."""
    run_at: datetime | None = None
    """When a job may start. Aware; in the past it means now."""
    expires: timedelta | datetime | None = None
    """When a job that has not started is too late to be useful: after this long, or at this instant."""
    at_most_once: bool = False
    """Never run a second time what has begun, even if a crash cut it short."""
    owner: str | None = None
    """Whose a job is, for those who ask over HTTP. None: of whoever made the request, where the queue has `owner=`."""

    def __post_init__(self) -> None:
        _check_types(self)
        _check_values(self)
        _check_pairs(self)

    @property
    def attempts(self) -> int:
        """The number of attempts that these options give a job."""
        return self.max_attempts or (1 if self.at_most_once else _ATTEMPTS)

    def changed(self, given: GivenOptions) -> TaskOptions:
        """These options with some given anew. Raises OptionRefused."""
        for name in given:
            if name not in NAMES:
                raise OptionRefused(_unknown(name))
        changes: dict[str, Any] = {**self._displaced_by(given), **given}
        return replace(self, **changes)

    def _displaced_by(self, given: GivenOptions) -> dict[str, None]:
        """A call's `run_at` takes the place of its task's `delay`, and the other way round."""
        if "run_at" in given and "delay" not in given:
            return {"delay": None}
        if "delay" in given and "run_at" not in given:
            return {"run_at": None}
        return {}


class GivenOptions(TypedDict, total=False):
    """TaskOptions as keywords, for type checkers and editors. A test compares the two."""

    queue: str
    priority: int
    max_attempts: int | None
    timeout: timedelta | None
    retry: RetryPolicy
    delay: timedelta | None
    run_at: datetime | None
    expires: timedelta | datetime | None
    at_most_once: bool
    owner: str | None


class CallOptions(GivenOptions, total=False):
    """What can be said of one call: the options of a task, and whose transaction its jobs are written in."""

    session: Any


NAMES = tuple(field.name for field in fields(TaskOptions))
SESSION = "session"
_ALIASES = "aliases"


def _unknown(name: str) -> str:
    if name == _ALIASES:
        return "aliases belong to the task, not to a call of it: @queue.task(aliases=[…])"
    if name == SESSION:
        return (
            "a session belongs to a call, not to the task: send_mail.options(session=…); for every request that uses "
            "the dependency get_db: TaskQueue(app, session=get_db)"
        )
    return f"there is no option {name!r}{did_you_mean(name, (*NAMES, SESSION, _ALIASES))}"


def did_you_mean(word: str, known: tuple[str, ...]) -> str:
    """The end of a message about a word that is not known."""
    close = get_close_matches(word, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; there are {', '.join(known)}"


# ---- what is refused -----------------------------------------------------------------------------------------------

_TYPES: dict[str, tuple[type, ...]] = {
    "queue": (str,),
    "priority": (int,),
    "max_attempts": (int, type(None)),
    "timeout": (timedelta, type(None)),
    "retry": (RetryPolicy,),
    "delay": (timedelta, type(None)),
    "run_at": (datetime, type(None)),
    "expires": (timedelta, datetime, type(None)),
    "at_most_once": (bool,),
    "owner": (str, type(None)),
}
_CURES = {
    timedelta: "a timedelta, such as timedelta(seconds=30)",
    datetime: "an aware datetime",
    str: "a text",
}


def _check_types(options: TaskOptions) -> None:
    for name, kinds in _TYPES.items():
        value = getattr(options, name)
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            cures = [_CURES.get(kind, kind.__name__) for kind in kinds if kind is not type(None)]
            raise OptionRefused(f"{name}={value!r}: give {' or '.join(cures)}")


def _check_values(options: TaskOptions) -> None:
    if not options.queue:
        raise OptionRefused("queue='': a queue needs a name")
    if options.owner == "":
        raise OptionRefused("owner='': give the owner's id, or leave it out")
    if options.max_attempts is not None and options.max_attempts < 1:
        raise OptionRefused(f"max_attempts={options.max_attempts}: a job needs at least one attempt")
    for name in ("timeout", "expires"):
        value = getattr(options, name)
        if isinstance(value, timedelta) and value <= timedelta(0):
            raise OptionRefused(f"{name}={value!r}: give more than no time at all")
    if options.delay is not None and options.delay < timedelta(0):
        raise OptionRefused(f"delay={options.delay!r}: nothing can start before it is enqueued")
    for name in ("run_at", "expires"):
        value = getattr(options, name)
        if isinstance(value, datetime) and value.tzinfo is None:
            raise OptionRefused(
                f"{name}={value!r} has no time zone; use datetime.now(UTC) or attach a tzinfo"
            )


def _check_pairs(options: TaskOptions) -> None:
    if options.delay is not None and options.run_at is not None:
        raise OptionRefused(
            f"delay={options.delay!r} with run_at={options.run_at!r}: give one of the two, each says when to start"
        )
    if options.at_most_once and (options.max_attempts or 1) > 1:
        raise OptionRefused(
            f"at_most_once=True with max_attempts={options.max_attempts}: "
            "what runs at most once is not tried again; leave max_attempts out"
        )
    start = options.delay if options.run_at is None else options.run_at
    if type(options.expires) is type(start) and options.expires is not None and options.expires <= start:  # type: ignore[operator]
        raise OptionRefused(
            f"expires={options.expires!r} with {'delay' if options.run_at is None else 'run_at'}={start!r}: "
            "it would expire before it may start"
        )


NO_OPTIONS = TaskOptions()
