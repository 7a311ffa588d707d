from fastapi import FastAPI
from outlast import BackgroundTasks, TaskQueue

app = FastAPI()
queue = TaskQueue(app)


def export(name: str):
    print(f"exporting {name}")


@app.post("/exports/{name}")
async def start(name: str, background_tasks: BackgroundTasks):
    return {"job": background_tasks.add_task(export, name).id}


@app.delete("/exports/{job_id}")
async def stop(job_id: str):
    return {"will_stop": await queue.job(job_id).acancel()}
