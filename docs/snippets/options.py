from datetime import timedelta

from fastapi import FastAPI
from outlast import BackgroundTasks, TaskQueue

app = FastAPI()
queue = TaskQueue(app)


@queue.task(queue="mail", max_attempts=8, timeout=timedelta(seconds=30))
async def send_mail(to: str, body: str):
    print(f"to {to}: {body}")


@app.post("/welcome/{to}")
async def welcome(to: str, background_tasks: BackgroundTasks):
    background_tasks.add_task(send_mail, to, "Welcome!")
    in_three_days = send_mail.options(delay=timedelta(days=3))
    background_tasks.add_task(in_three_days, to, "How is it going?")
    return {"message": "On its way"}
