from fastapi import FastAPI
from outlast import BackgroundTasks, TaskQueue

app = FastAPI()
queue = TaskQueue(app, store="postgresql://app@db.internal/shop")


async def write_notification(email: str): ...


@app.post("/send-notification/{email}")
async def send_notification(email: str, background_tasks: BackgroundTasks):
    background_tasks.add_task(write_notification, email)
    return {"message": "Notification sent in the background"}
