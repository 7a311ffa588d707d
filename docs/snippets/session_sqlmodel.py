import os
from collections.abc import Iterator
from typing import Annotated

from fastapi import Depends, FastAPI
from outlast import BackgroundTasks, TaskQueue
from sqlmodel import Field, Session, SQLModel, create_engine

DATABASE = os.environ["DATABASE_URL"]  # postgresql+psycopg://app@db.internal/shop
engine = create_engine(DATABASE)


class Order(SQLModel, table=True):
    __tablename__ = "orders"
    id: int | None = Field(default=None, primary_key=True)
    email: str


def get_db() -> Iterator[Session]:
    with Session(engine) as session:
        yield session


app = FastAPI()
queue = TaskQueue(app, store=DATABASE, session=get_db)


def send_confirmation(email: str): ...


@app.post("/orders")
def place_order(order: Order, tasks: BackgroundTasks, db: Annotated[Session, Depends(get_db)]):
    db.add(order)
    tasks.add_task(send_confirmation, order.email)
    db.commit()
