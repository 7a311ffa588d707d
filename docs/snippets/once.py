from fastapi import FastAPI
from outlast import TaskQueue

app = FastAPI()
queue = TaskQueue(app)


@queue.task(at_most_once=True)
def text_everybody(message: str):
    print(f"to a million people: {message}")
