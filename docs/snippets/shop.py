from datetime import timedelta

from fastapi import FastAPI
from outlast import BackgroundTasks, TaskQueue

app = FastAPI()
queue = TaskQueue(app)
letters: list[str] = []


@queue.task(queue="payments", max_attempts=4)
def charge(order: int, cents: int) -> str:
    return f"receipt {order}: {cents / 100:.2f}"  # imagine a call of your bank here


@queue.task
async def write(to: str, subject: str):
    letters.append(f"{subject}, {to}")


@app.post("/orders/{order}")
async def buy(order: int, cents: int, email: str, tasks: BackgroundTasks):
    tasks.add_task(charge, order, cents)
    tasks.add_task(write, email, subject="Thank you")
    tasks.add_task(write.options(delay=timedelta(days=14)), email, subject="Are you happy with it?")
