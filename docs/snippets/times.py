from datetime import UTC, datetime, timedelta

from fastapi import FastAPI
from outlast import BackgroundTasks, TaskQueue

app = FastAPI()
queue = TaskQueue(app)


@queue.task(expires=timedelta(hours=1))
def remind(who: str, what: str):
    print(f"{who}: {what}")


@app.post("/remind/{who}")
async def plan(who: str, background_tasks: BackgroundTasks):
    background_tasks.add_task(remind.options(delay=timedelta(minutes=10)), who, "tea is ready")
    new_year = datetime(2031, 1, 1, tzinfo=UTC)
    greeting = remind.options(run_at=new_year, expires=new_year + timedelta(days=1))
    background_tasks.add_task(greeting, who, "happy new year")
    return {"message": "Planned"}
