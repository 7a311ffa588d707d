import os

from outlast import TaskQueue
from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session

DATABASE = os.environ["DATABASE_URL"]  # postgresql+psycopg://app@db.internal/shop
engine = create_engine(DATABASE)
queue = TaskQueue(store=DATABASE)


@queue.task
def send_reminder(email: str): ...


def remind_all():
    with Session(engine) as session, session.begin():
        found = session.execute(text("SELECT email FROM orders WHERE reminded IS NULL"))
        calls = [(email,) for (email,) in found]
        queue.enqueue_many(send_reminder.options(session=session), calls)
        session.execute(text("UPDATE orders SET reminded = now()"))


if __name__ == "__main__":
    remind_all()
