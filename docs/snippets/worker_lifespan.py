from contextlib import asynccontextmanager

from fastapi import FastAPI
from outlast import TaskQueue


@asynccontextmanager
async def for_tasks(app: FastAPI):
    app.state.pool = "a small pool of connections"
    yield


app = FastAPI()
queue = TaskQueue(app, worker_lifespan=for_tasks)


def use_pool() -> str:
    return app.state.pool
