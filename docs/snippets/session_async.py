import os
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, FastAPI
from outlast import BackgroundTasks, TaskQueue
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine

DATABASE = os.environ["DATABASE_URL"]  # postgresql+asyncpg://app@db.internal/shop
sessions = async_sessionmaker(create_async_engine(DATABASE))


async def get_db() -> AsyncIterator[AsyncSession]:
    async with sessions.begin() as session:  # commits, or rolls back if the endpoint raises
        yield session


app = FastAPI()
queue = TaskQueue(app, store=DATABASE, session=get_db)
Db = Annotated[AsyncSession, Depends(get_db, scope="function")]  # before the response


def send_confirmation(email: str): ...


@app.post("/orders")
async def place_order(email: str, tasks: BackgroundTasks, db: Db):
    await db.execute(text("INSERT INTO orders (email) VALUES (:email)"), {"email": email})
    tasks.add_task(send_confirmation, email)
