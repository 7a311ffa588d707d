from celery import Celery
from fastapi import FastAPI
from outlast import BackgroundTasks, TaskQueue
from outlast.handover import CeleryHandover

celery_app = Celery("shop", broker="redis://localhost:6379/0", backend="redis://localhost:6379/1")
app = FastAPI()
queue = TaskQueue(app, handover=CeleryHandover(celery_app))


@celery_app.task
def make_thumbnail(path: str):
    """It was there before, and has its own retries and callers."""


@app.post("/pictures")
async def add_picture(path: str, background_tasks: BackgroundTasks):
    job = background_tasks.add_task(make_thumbnail, path)
    return {"job": job.id}
