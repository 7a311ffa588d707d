import logging

from fastapi import FastAPI
from outlast import BackgroundTasks, TaskQueue, current_job, in_worker

if in_worker():
    logging.basicConfig(
        level=logging.INFO, format="%(levelname)s %(request_id)s %(job_id)s %(message)s"
    )
log = logging.getLogger(__name__)

app = FastAPI()
queue = TaskQueue(app)


def charge(order: int) -> str | None:
    log.info("charging order %d", order)
    return current_job().request_id


@app.post("/orders/{order}")
async def create(order: int, background_tasks: BackgroundTasks):
    background_tasks.add_task(charge, order)
