from fastapi import FastAPI
from outlast import TaskQueue, current_job

app = FastAPI()
queue = TaskQueue(app)
charged = {}  # stands for a payment service that takes an idempotency key


@queue.task
def charge(card: str, cents: int):
    job = current_job()
    charged.setdefault(job.id, (card, cents))  # every attempt comes with the same job id
