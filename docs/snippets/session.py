import os
from collections.abc import Iterator
from typing import Annotated

from fastapi import Depends, FastAPI
from outlast import BackgroundTasks, TaskQueue
from sqlalchemy import create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

DATABASE = os.environ["DATABASE_URL"]  # postgresql+psycopg://app@db.internal/shop
engine = create_engine(DATABASE)


class Base(DeclarativeBase): ...


class Order(Base):
    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str]


def get_db() -> Iterator[Session]:
    with Session(engine) as session:
        yield session


app = FastAPI()
queue = TaskQueue(app, store=DATABASE, session=get_db)


def send_confirmation(order_id: int): ...


@app.post("/orders")
def place_order(email: str, tasks: BackgroundTasks, db: Annotated[Session, Depends(get_db)]):
    order = Order(email=email)
    db.add(order)
    db.flush()  # gives it its id
    tasks.add_task(send_confirmation, order.id)
    db.commit()  # the order and its job, or neither
    return {"order": order.id}
