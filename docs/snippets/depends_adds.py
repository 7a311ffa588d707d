from fastapi import FastAPI
from outlast import BackgroundTasks, TaskQueue

app = FastAPI()
queue = TaskQueue(app)


def send_receipt(order_id: int):
    print(f"receipt of order {order_id}")


def charge(order_id: int, cents: int, background_tasks: BackgroundTasks):
    background_tasks.add_task(send_receipt, order_id)
    if cents < 0:
        raise ValueError("nobody can be charged that")  # and no receipt is sent


@app.post("/orders/{order_id}")
async def order(order_id: int, cents: int, background_tasks: BackgroundTasks):
    background_tasks.add_task(charge, order_id, cents)
    return {"message": "Thank you"}
