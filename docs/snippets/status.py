from fastapi import FastAPI, Request
from outlast import BackgroundTasks, TaskQueue

app = FastAPI()
queue = TaskQueue(app)
app.include_router(queue.router, prefix="/jobs")


def make_report(year: int) -> dict[str, int]:
    return {"year": year, "pages": 12}


@app.post("/reports/{year}", status_code=202)
async def order_report(year: int, background_tasks: BackgroundTasks, request: Request):
    job = background_tasks.add_task(make_report, year)
    return queue.accepted(job, request)
