from contextlib import asynccontextmanager

from fastapi import FastAPI
from outlast import TaskQueue, in_worker


@asynccontextmanager
async def lifespan(app: FastAPI):
    app.state.greeting = "hello"  # tasks and endpoints both need this
    if not in_worker():
        print("starting the scheduler")  # once, in the server
    yield


app = FastAPI(lifespan=lifespan)
queue = TaskQueue(app)


def greet(name: str) -> str:
    return f"{app.state.greeting} {name}"
