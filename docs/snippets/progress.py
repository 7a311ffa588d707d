import logging

from fastapi import FastAPI
from outlast import BackgroundTasks, TaskQueue, current_job

app = FastAPI()
queue = TaskQueue(app)
log = logging.getLogger(__name__)


def import_rows(rows: list[str]) -> int:
    job = current_job()
    for row in job.track(rows, note="importing"):
        if not row.strip():
            log.warning("an empty row is left out")
    job.progress(len(rows), len(rows), note="done")
    return len(rows)


@app.post("/imports")
async def order_import(rows: list[str], background_tasks: BackgroundTasks):
    return {"job": background_tasks.add_task(import_rows, rows).id}
