from datetime import date
from decimal import Decimal
from uuid import UUID

from fastapi import FastAPI
from outlast import BackgroundTasks, TaskQueue
from pydantic import BaseModel

app = FastAPI()
queue = TaskQueue(app)


class Order(BaseModel):
    id: UUID
    total: Decimal
    due: date


def ship(order: Order, labels: set[str]):
    print(f"{order.id}, due {order.due:%d %B}: {sorted(labels)}")


@app.post("/orders")
async def place(order: Order, background_tasks: BackgroundTasks):
    background_tasks.add_task(ship, order, labels={"fragile", "gift"})
    return {"message": "It will be shipped"}
