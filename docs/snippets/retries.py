from datetime import timedelta

from fastapi import FastAPI
from outlast import RetryPolicy, TaskQueue

app = FastAPI()
queue = TaskQueue(app)

patient = RetryPolicy(
    delay=timedelta(seconds=10),  # the first retry comes after about this long
    factor=2,  # each further one after twice as long
    max_delay=timedelta(minutes=15),  # but never after more than this
    on=(OSError,),  # only these are tried again
    never=(FileNotFoundError,),  # and of these, not this one
)


@queue.task(max_attempts=10, retry=patient)
def read_remote(path: str) -> str:
    with open(path) as file:
        return file.read()
