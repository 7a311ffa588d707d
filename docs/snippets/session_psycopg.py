import os

import psycopg
from fastapi import FastAPI
from outlast import TaskQueue

DATABASE = os.environ["DATABASE_URL"]  # postgresql://app@db.internal/shop

app = FastAPI()
queue = TaskQueue(app, store=DATABASE)


@queue.task
def send_confirmation(email: str): ...


@app.post("/orders")
async def place_order(email: str):
    async with await psycopg.AsyncConnection.connect(DATABASE) as connection:
        await connection.execute("INSERT INTO orders (email) VALUES (%s)", (email,))
        await send_confirmation.options(session=connection).aenqueue(email)
    # the connection has committed at the end of its block
