"""The audit: endpoints and dependencies that still take FastAPI's own BackgroundTasks are told of at the start."""

import logging
from pathlib import Path
from typing import Annotated

import pytest
from fastapi import APIRouter, Depends, FastAPI, WebSocket
from fastapi import BackgroundTasks as PlainTasks
from fastapi.testclient import TestClient

from outlast import BackgroundTasks


class Mine(BackgroundTasks): ...


@pytest.fixture
def warnings(app, queue, caplog):
    def lines() -> list[str]:
        with TestClient(app) as client:
            client.get("/nowhere")
        return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]

    return lines


def test_a_route_with_fastapi_s_own_class_is_found_with_file_line_function_and_parameter(app, warnings):
    @app.get("/")
    async def mixed(plain_tasks: PlainTasks): ...

    [line] = warnings()
    number = mixed.__code__.co_firstlineno
    assert line.startswith(f"{__file__}:{number}: parameter 'plain_tasks' of ")
    assert "mixed" in line
    assert "import BackgroundTasks from outlast" in line
    assert Path(__file__).read_text().splitlines()[number - 1].strip() == '@app.get("/")'


@pytest.mark.parametrize(
    "where", ["dependency", "router", "included router", "mounted app", "websocket", "class"]
)
def test_it_is_found_wherever_it_stands(app, warnings, where):
    def dependency(plain_tasks: PlainTasks): ...

    class Service:
        def __init__(self, plain_tasks: PlainTasks): ...

    router = APIRouter(dependencies=[Depends(dependency)] if where == "router" else None)
    depends = {"dependency": Depends(dependency), "class": Depends(Service)}.get(where, Depends(lambda: None))
    inner = app if where != "mounted app" else FastAPI()

    if where == "websocket":

        @inner.websocket("/")
        async def talk(socket: WebSocket, _: Annotated[None, Depends(dependency)]): ...

    @router.get("/")
    async def add(tasks: BackgroundTasks, _: Annotated[object, depends]): ...

    if where == "mounted app":
        app.mount("/inner", inner)
        router.dependencies.append(Depends(dependency))
    inner.include_router(
        router, dependencies=[Depends(dependency)] if where in ("included router", "mounted app") else None
    )

    [line] = warnings()
    assert line.startswith(f"{__file__}:")
    assert "parameter 'plain_tasks'" in line


def test_a_subclass_of_ours_as_a_parameter_is_found_too(app, warnings):
    @app.get("/")
    async def mixed(tasks: Mine): ...

    [line] = warnings()
    assert "a subclass of it does not work as a parameter" in line


def test_each_is_told_of_once(app, warnings):
    def dependency(plain_tasks: PlainTasks): ...

    for path in ("/one", "/two"):

        @app.get(path, dependencies=[Depends(dependency)])
        async def add(): ...

    assert len(warnings()) == 1


def test_an_app_without_a_fault_is_not_told_of(app, warnings):
    @app.get("/")
    async def add(tasks: BackgroundTasks): ...

    assert warnings() == []
