"""The same dependencies, solved by a request, by a worker and inline, do the same in the same order.

Broken on purpose, each of these makes tests here fail:
 - in `solving.Solver._scope`, leave out "state": what the lifespan yielded is not there;
 - in `private_route.PrivateRoute`, leave out the app: overrides do not hold;
 - in `child._in_thread`, run in a context of its own: what a dependency sets is not seen by a `def`;
 - in `solving._Call.__call__`, keep the error back: no dependency rolls back.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.worker.harness import House

SOURCE = Path(__file__).with_name("cases.py").read_text()
NAMES = [block.split("def ")[1].split("(")[0] for block in SOURCE.split("@case\n")[1:]]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    house = House(tmp_path_factory.mktemp("depends"))
    try:
        house.write("app", SOURCE)
        house.worker(children=1)
        yield house
    finally:
        house.close()


@pytest.fixture(scope="module")
def module(house: House) -> Iterator[ModuleType]:
    """The module that the worker's child has imported, imported here too."""
    spec = importlib.util.spec_from_file_location("app", house.folder / "app.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["app"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    module.queue.close()
    del sys.modules["app"]


@pytest.fixture
def traced(house: House) -> Any:
    """Take the trace that was written since it was last taken."""
    path = house.folder / "trace"
    path.write_text("")

    def take() -> list[str]:
        lines = path.read_text().splitlines()
        path.write_text("")
        return lines

    return take


def test_there_is_a_case_for_each_kind(module: ModuleType) -> None:
    assert list(module.cases) == NAMES
    assert len(NAMES) >= 30


@pytest.mark.parametrize("name", NAMES)
def test_a_route_and_a_worker_leave_equal_traces(
    name: str, house: House, module: ModuleType, traced: Any
) -> None:
    answer = routed(module, name)
    expected = traced()

    job = module.queue.enqueue(module.cases[name], 3)
    record = house.ended(job.id)

    assert traced() == expected
    assert told(record.result, record.error) == answer


@pytest.mark.parametrize("name", NAMES)
def test_a_route_and_inline_mode_leave_equal_traces(name: str, module: ModuleType, traced: Any) -> None:
    answer = routed(module, name)
    expected = traced()

    with module.queue.switched(store="sqlite://", worker="inline"), TestClient(module.app):
        job = module.queue.enqueue(module.cases[name], 3)
        record = job.record()

    assert traced() == expected
    assert told(record.result, record.error) == answer


def routed(module: ModuleType, name: str) -> tuple[Any, str | None]:
    """What the endpoint returned, or the name of the error that left it."""
    with TestClient(module.app) as client:
        try:
            response = client.get(f"/{name}", params={"n": 3})
        except Exception as error:
            swallowed = type(error).__name__ == "FastAPIError"
            return None, "KeyError" if swallowed else type(error).__name__
    return (response.json(), None) if response.status_code == 200 else (None, "HTTPException")


def told(result: str | None, error: str | None) -> tuple[Any, str | None]:
    """What the task returned, or the name of its error."""
    name = error.partition(":")[0].rpartition(".")[2] if error else None
    return (None if result is None else json.loads(result)), name
