from fastapi import FastAPI, Request
from outlast import BackgroundTasks, TaskQueue
from pydantic import BaseModel

app = FastAPI()
queue = TaskQueue(app)


class Report(BaseModel):
    year: int
    pages: int


@queue.task
def make_report(year: int) -> Report:
    return Report(year=year, pages=12)


@app.post("/reports/{year}", status_code=202)
async def order_report(year: int, background_tasks: BackgroundTasks, request: Request):
    job = background_tasks.add_task(make_report, year)
    return queue.accepted(job, request, task=make_report)


app.include_router(queue.router_of(make_report), prefix="/report-jobs")
