"""Celery, on Redis or RabbitMQ."""

from __future__ import annotations

from celery import Celery
from fastapi import FastAPI

from bench import marks
from peers import keys
from peers.names import BROKER, QUEUE, RABBITMQ, REDIS

celery = Celery("outlast-bench", broker=REDIS if BROKER == "redis" else RABBITMQ)
celery.conf.task_default_queue = QUEUE
app = FastAPI()


@celery.task
def nothing() -> None:
    marks.tally()


@celery.task
def tell_latency(began: float) -> None:
    marks.latency(began)


@app.post("/task")
async def task() -> dict[str, str]:
    nothing.delay()
    return {"message": "ok"}


@app.post("/latency")
async def latency() -> dict[str, str]:
    tell_latency.delay(marks.now())
    return {"message": "ok"}


def fill(count: int) -> None:
    for _ in range(count):
        nothing.delay()


def clean() -> None:
    if BROKER == "redis":
        keys.clean(QUEUE, "_kombu.binding*", "unacked*")
        return
    with celery.connection_for_write() as connection, connection.channel() as channel:
        channel.queue_delete(QUEUE)
        for exchange in (QUEUE, "celeryev", "celery.pidbox", "reply.celery.pidbox"):
            channel.exchange_delete(exchange, if_unused=True)
