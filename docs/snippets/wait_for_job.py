from fastapi import FastAPI, Request
from outlast import TaskQueue

app = FastAPI()
queue = TaskQueue(app)
app.include_router(queue.router, prefix="/jobs")


@queue.task
def make_thumbnail(name: str) -> str:
    return f"small-{name}"


@app.post("/thumbnails/{name}", status_code=202)
async def order_thumbnail(name: str, request: Request):
    job = await make_thumbnail.aenqueue(name)
    return await queue.answered(job, request)
