import asyncio
from datetime import timedelta

from fastapi import FastAPI
from outlast import TaskQueue

app = FastAPI()
queue = TaskQueue(app)


@queue.task(timeout=timedelta(seconds=2), max_attempts=2)
async def ask_slow_service():
    try:
        await asyncio.sleep(60)
    finally:
        print("closing the connection")  # clean-up runs
