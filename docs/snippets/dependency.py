from typing import Annotated

from fastapi import Depends, FastAPI
from outlast import BackgroundTasks, TaskQueue

app = FastAPI()
queue = TaskQueue(app)


def write_log(message: str):
    with open("log.txt", mode="a") as log:
        log.write(message)


def get_query(background_tasks: BackgroundTasks, q: str | None = None):
    if q:
        background_tasks.add_task(write_log, f"found query: {q}\n")
    return q


@app.post("/send-notification/{email}")
async def send_notification(
    email: str, background_tasks: BackgroundTasks, q: Annotated[str, Depends(get_query)]
):
    background_tasks.add_task(write_log, f"message to {email}\n")
    return {"message": "Message sent"}
