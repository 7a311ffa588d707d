import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Annotated

from fastapi import Depends, FastAPI
from outlast import BackgroundTasks, TaskQueue

app = FastAPI()
queue = TaskQueue(app)


def get_db() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect("shop.db", check_same_thread=False)) as db:
        db.execute("CREATE TABLE IF NOT EXISTS orders (id INTEGER PRIMARY KEY, state TEXT)")
        with db:  # commits, or rolls back if the task raises
            yield db


def ship(order_id: int, db: Annotated[sqlite3.Connection, Depends(get_db)]):
    db.execute("INSERT OR REPLACE INTO orders VALUES (?, 'shipped')", (order_id,))


@app.post("/orders/{order_id}/ship")
async def order(order_id: int, background_tasks: BackgroundTasks):
    background_tasks.add_task(ship, order_id)  # only the data
    return {"message": "It will be shipped"}
