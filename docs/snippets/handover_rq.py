from fastapi import FastAPI
from outlast import BackgroundTasks, TaskQueue
from outlast.handover import RQHandover
from redis import Redis

redis = Redis.from_url("redis://localhost:6379/0")
app = FastAPI()
queue = TaskQueue(app, handover=RQHandover(redis))


@queue.task(queue="mail", max_attempts=8)
async def send_mail(to: str, body: str):
    print(f"mail to {to}: {body}")


@app.post("/welcome/{to}")
async def welcome(to: str, background_tasks: BackgroundTasks):
    job = background_tasks.add_task(send_mail, to, "Welcome!")
    return {"job": job.id}
