from fastapi import FastAPI
from outlast import BackgroundTasks, TaskQueue

app = FastAPI()
queue = TaskQueue(app)


def divide(left: float, right: float) -> float:
    return left / right


@app.post("/divide")
async def start(left: float, right: float, background_tasks: BackgroundTasks):
    return {"job": background_tasks.add_task(divide, left, right).id}


@app.get("/results/{job_id}")
def look(job_id: str):
    job = queue.job(job_id)
    return {"state": job.state, "attempt": job.attempt, "result": job.result, "error": job.error}
