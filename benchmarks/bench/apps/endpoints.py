"""The endpoints that FastAPI's own `BackgroundTasks` and Outlast's are measured by: the same code, another class."""

from typing import Annotated, Any

from fastapi import Depends, FastAPI

from bench.apps.session import Session, open_session

OK = {"message": "ok"}


def nothing() -> None: ...


async def anothing() -> None: ...


def add_endpoints(app: FastAPI, tasks: Any) -> None:
    """Each adds one no-op task to a parameter of the class `tasks`."""

    @app.post("/async")
    async def async_task(background_tasks: tasks) -> dict[str, str]:
        background_tasks.add_task(anothing)
        return OK

    @app.post("/def")
    async def def_task(background_tasks: tasks) -> dict[str, str]:
        background_tasks.add_task(nothing)
        return OK

    @app.post("/session")
    async def with_session(
        background_tasks: tasks, session: Annotated[Session, Depends(open_session)]
    ) -> dict[str, str]:
        background_tasks.add_task(anothing)
        return OK
