import time

from fastapi import FastAPI
from outlast import BackgroundTasks, TaskQueue

app = FastAPI()
queue = TaskQueue(app)


def write_notification(email: str, message: str = ""):
    time.sleep(10)  # stands for a slow mail server
    with open("log.txt", mode="a") as log:
        log.write(f"notification for {email}: {message}\n")


@app.post("/send-notification/{email}")
async def send_notification(email: str, background_tasks: BackgroundTasks):
    job = background_tasks.add_task(write_notification, email, message="some notification")
    return {"job": job.id}
