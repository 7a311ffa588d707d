from fastapi import FastAPI
from outlast import BackgroundTasks, TaskQueue      # was: from fastapi import BackgroundTasks, FastAPI

app = FastAPI()
queue = TaskQueue(app)                              # sqlite:///outlast.db, a worker beside the server

def write_notification(email: str, message=""): ...

@app.post("/send-notification/{email}")
async def send_notification(email: str, background_tasks: BackgroundTasks):
    background_tasks.add_task(write_notification, email, message="some notification")
    return {"message": "Notification sent in the background"}
