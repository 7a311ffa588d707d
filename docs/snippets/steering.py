from datetime import timedelta

from fastapi import FastAPI
from outlast import Fail, Retry, Snooze, TaskQueue

app = FastAPI()
queue = TaskQueue(app)


@queue.task
def fetch(status: int) -> str:
    if status == 429:
        raise Retry("too many requests", delay=timedelta(minutes=1))
    if status == 202:
        raise Snooze(timedelta(seconds=30))
    if status == 404:
        raise Fail("there is no such page")
    return "the page"
