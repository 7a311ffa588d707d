"""RetryPolicy: which errors are tried again, and after how long. Pure: the dice are an argument.

The wait grows exponentially, and a quarter of it either way is thrown, so that jobs that failed together do not come
back together (Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015).
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from datetime import timedelta

from outlast.clock import span
from outlast.errors import OptionRefused
from outlast.names import import_name, reference

_EVERY = ("builtins:Exception",)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Which errors are tried again, and after how long.

    The first retry comes after about `delay`, each further one after `factor` times as long, never after more than
    `max_delay`. `on` lists the exception classes that are tried again, `never` those that are not (it wins).
    """

    delay: timedelta = timedelta(seconds=1)
    factor: float = 3.0
    max_delay: timedelta = timedelta(hours=1)
    on: tuple[type[BaseException], ...] = field(default=(Exception,))
    never: tuple[type[BaseException], ...] = ()

    def __post_init__(self) -> None:
        if self.delay < timedelta(0) or self.max_delay < self.delay or not 1 <= self.factor < math.inf:
            raise OptionRefused(
                f"RetryPolicy(delay={self.delay}, factor={self.factor}, max_delay={self.max_delay}): "
                "delay must not be negative, max_delay not below delay, factor a finite number not below 1"
            )
        _require_errors("on", self.on)
        _require_errors("never", self.never)

    def to_row(self) -> str | None:
        """The policy as it is stored with a job; None for the default one."""
        return None if self == DEFAULT else json.dumps(self._fields(), separators=(",", ":"))

    def _fields(self) -> dict[str, object]:
        return {
            "delay": span(self.delay),
            "factor": self.factor,
            "max_delay": span(self.max_delay),
            "on": [reference(error) for error in self.on],
            "never": [reference(error) for error in self.never],
        }


def _require_errors(name: str, errors: object) -> None:
    if not isinstance(errors, tuple) or not all(
        isinstance(error, type) and issubclass(error, BaseException) for error in errors
    ):
        raise OptionRefused(
            f"RetryPolicy({name}={errors!r}): give a tuple of exception classes, such as {name}=(ConnectionError,)"
        )


DEFAULT = RetryPolicy()


@dataclass(frozen=True, slots=True)
class StoredPolicy:
    """A RetryPolicy as its job's row keeps it: errors by name, so that no class has to be imported to ask it."""

    delay: int
    factor: float
    max_delay: int
    on: tuple[str, ...]
    never: tuple[str, ...]

    @classmethod
    def from_row(cls, row: str | None) -> StoredPolicy:
        if row is None:
            return _STORED_DEFAULT
        fields = json.loads(row)
        return cls(
            fields["delay"],
            fields["factor"],
            fields["max_delay"],
            tuple(fields["on"]),
            tuple(fields["never"]),
        )

    def covers(self, error: BaseException) -> bool:
        """Whether this error is one to try again after."""
        names = {f"{import_name(cls.__module__)}:{cls.__qualname__}" for cls in type(error).__mro__}
        return not names.isdisjoint(self.on) and names.isdisjoint(self.never)

    def wait(self, failures: int, dice: float) -> int:
        """Microseconds until the retry after `failures` failures; `dice` is a throw in [0, 1).

        The longest wait is thrown for as well: it is as far below `max_delay` as leaves the dice their room.
        """
        longest = self.max_delay / 1.25
        return int(min(longest, self._grown(failures - 1)) * (0.75 + dice / 2))

    def _grown(self, times: int) -> float:
        try:
            return self.delay * self.factor**times
        except OverflowError:
            return math.inf if self.delay else 0.0


_STORED_DEFAULT = StoredPolicy(span(DEFAULT.delay), DEFAULT.factor, span(DEFAULT.max_delay), _EVERY, ())
