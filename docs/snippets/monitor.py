from fastapi import FastAPI
from outlast import TaskQueue

app = FastAPI()
queue = TaskQueue(app)
app.include_router(queue.monitor, prefix="/internal")
