import sqlite3
from contextlib import closing

from fastapi import FastAPI
from outlast import BackgroundTasks, TaskQueue

app = FastAPI()
queue = TaskQueue(app)


def write_invoice(order_id: int, cents: int):
    with closing(sqlite3.connect("shop.db")) as db, db:
        db.execute("CREATE TABLE IF NOT EXISTS invoices (order_id PRIMARY KEY, cents)")
        # The second run finds the key taken and changes nothing.
        db.execute("INSERT INTO invoices VALUES (?, ?) ON CONFLICT DO NOTHING", (order_id, cents))


@app.post("/orders/{order_id}")
async def place_order(order_id: int, cents: int, background_tasks: BackgroundTasks):
    background_tasks.add_task(write_invoice, order_id, cents)
    return {"order": order_id}
