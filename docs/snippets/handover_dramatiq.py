import dramatiq
from dramatiq.brokers.redis import RedisBroker
from fastapi import FastAPI
from outlast import BackgroundTasks, TaskQueue
from outlast.handover import DramatiqHandover

broker = RedisBroker(url="redis://localhost:6379/0")
dramatiq.set_broker(broker)
app = FastAPI()
queue = TaskQueue(app, handover=DramatiqHandover(broker))


@queue.task(queue="mail", max_attempts=8)
async def send_mail(to: str, body: str):
    print(f"mail to {to}: {body}")


@app.post("/welcome/{to}")
async def welcome(to: str, background_tasks: BackgroundTasks):
    job = background_tasks.add_task(send_mail, to, "Welcome!")
    return {"job": job.id}
