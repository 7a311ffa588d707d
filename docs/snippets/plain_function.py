from shutil import rmtree

from fastapi import FastAPI
from outlast import BackgroundTasks, TaskQueue

app = FastAPI()
queue = TaskQueue(app)


@app.delete("/exports/{number}")
async def delete_export(number: int, background_tasks: BackgroundTasks):
    background_tasks.add_task(queue.options(rmtree, max_attempts=2), f"exports/{number}")
    return {"message": "It will be gone soon"}
