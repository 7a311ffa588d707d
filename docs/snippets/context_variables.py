from contextvars import ContextVar
from typing import Annotated

from fastapi import FastAPI, Header
from outlast import BackgroundTasks, TaskQueue

tenant: ContextVar[str] = ContextVar("tenant")

app = FastAPI()
queue = TaskQueue(app, context=[tenant])


def bill(order: int) -> str:
    return f"order {order} of {tenant.get()}"


@app.post("/orders/{order}")
async def create(order: int, x_tenant: Annotated[str, Header()], background_tasks: BackgroundTasks):
    tenant.set(x_tenant)
    background_tasks.add_task(bill, order)
