"""Random histories: in `make test` the same ones each time, in `make models` many times more, and new ones.

So that a change is judged by what it changed, and what nobody has thought of is looked for where it stops nobody.
"""

import os

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

from tests.stores import Place, name_of

_TIMES = int(os.environ.get("OUTLAST_TEST_HISTORIES", "1"))
"""How many times as many as there are in `make test`."""
_ON = {"sqlite": 1.0, "postgres": 0.3}
"""The flows are one; on PostgreSQL each history takes ten times as long."""

in_time = pytest.mark.timeout(400 * _TIMES)
"""For a test of histories: on a loaded machine they take their time."""


def load_profile() -> None:
    """For every test with Hypothesis of the process."""
    settings.register_profile("outlast", derandomize=_TIMES == 1, deadline=None)
    settings.load_profile("outlast")


def many(histories: int) -> settings:
    """The settings of a test of so many histories."""
    return settings(max_examples=histories * _TIMES, suppress_health_check=list(HealthCheck))


def run(machine: type[RuleBasedStateMachine], place: Place, *, histories: int) -> None:
    """So many of 40 steps, on one kind of store. Raises AssertionError with the shortest one that breaks a promise."""
    of_place = type(machine.__name__, (machine,), {"place": staticmethod(place)})
    number = round(histories * _ON[name_of(place)])
    run_state_machine_as_test(of_place, settings=settings(many(number), stateful_step_count=40))
