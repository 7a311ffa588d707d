from fastapi import FastAPI
from outlast import TaskQueue

app = FastAPI()
queue = TaskQueue(app)


@app.get("/admin/jobs/{job_id}/why")
def why(job_id: str):
    return [(reason.why, reason.text, reason.cure) for reason in queue.job(job_id).explain()]
