from celery import Celery
from fastapi import FastAPI
from outlast import TaskQueue
from outlast.handover import CeleryHandover

celery_app = Celery("shop", broker="amqp://guest:guest@localhost:5672/")
app = FastAPI()
queue = TaskQueue(app, handover={"mail": CeleryHandover(celery_app), "default": None})


@queue.task(queue="mail")
async def send_mail(to: str): ...  # Celery's workers run it


@queue.task
async def count_visit(page: str): ...  # Outlast's own worker does
