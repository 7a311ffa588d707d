"""Dramatiq, on Redis or RabbitMQ."""

from __future__ import annotations

import dramatiq
from fastapi import FastAPI

from bench import marks
from peers import keys
from peers.names import BROKER, QUEUE, RABBITMQ, REDIS

if BROKER == "redis":
    from dramatiq.brokers.redis import RedisBroker

    broker = RedisBroker(url=REDIS, namespace=QUEUE)
else:
    from dramatiq.brokers.rabbitmq import RabbitmqBroker

    broker = RabbitmqBroker(url=RABBITMQ)
dramatiq.set_broker(broker)
app = FastAPI()


@dramatiq.actor(queue_name=QUEUE)
def nothing() -> None:
    marks.tally()


@dramatiq.actor(queue_name=QUEUE)
def tell_latency(began: float) -> None:
    marks.latency(began)


@app.post("/task")
async def task() -> dict[str, str]:
    nothing.send()
    return {"message": "ok"}


@app.post("/latency")
async def latency() -> dict[str, str]:
    tell_latency.send(marks.now())
    return {"message": "ok"}


def fill(count: int) -> None:
    for _ in range(count):
        nothing.send()


def clean() -> None:
    if BROKER == "redis":
        keys.clean(f"{QUEUE}:*")
        return
    import pika

    with pika.BlockingConnection(pika.URLParameters(RABBITMQ)) as connection:
        for queue in (QUEUE, f"{QUEUE}.DQ", f"{QUEUE}.XQ"):
            connection.channel().queue_delete(queue)
