"""An app as large as the demo's: models, routes, dependencies, and what its tasks import (reports, images)."""

from __future__ import annotations

import csv
import html
import io
import statistics
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Annotated

from fastapi import Depends, FastAPI
from PIL import Image
from pydantic import BaseModel, Field

from outlast import BackgroundTasks, TaskQueue


class Line(BaseModel):
    article: str
    quantity: int = Field(ge=1)
    price: float = Field(ge=0)


class Order(BaseModel):
    email: str
    lines: list[Line]
    at: datetime


class Settings(BaseModel):
    currency: str = "EUR"


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    app.state.settings = Settings()
    yield


app = FastAPI(lifespan=lifespan)
queue = TaskQueue(app)
_SALES = "day,amount\n" + "".join(f"{day},{day * 7 % 31}\n" for day in range(1, 32))


async def get_settings() -> Settings:
    return Settings()


@queue.task(queue="mail", max_attempts=8)
async def confirm(order: Order, currency: str) -> float:
    return sum(line.quantity * line.price for line in order.lines)


def make_report(title: str) -> str:
    amounts = [int(row["amount"]) for row in csv.DictReader(io.StringIO(_SALES))]
    return f"<h1>{html.escape(title)}</h1><p>{statistics.mean(amounts):.1f}</p>"


def make_thumbnail(size: int) -> int:
    picture = Image.new("RGB", (size, size), "navy")
    picture.thumbnail((64, 64))
    return picture.width


@app.post("/orders", status_code=202)
async def order(
    background_tasks: BackgroundTasks, settings: Annotated[Settings, Depends(get_settings)]
) -> dict[str, str]:
    lines = [Line(article=f"article {number}", quantity=number, price=9.5) for number in range(1, 4)]
    placed = Order(email="someone@example.com", lines=lines, at=datetime.now(UTC))
    background_tasks.add_task(confirm, placed, settings.currency)
    return {"message": "accepted"}


@app.post("/reports", status_code=202)
async def report(background_tasks: BackgroundTasks) -> dict[str, str]:
    background_tasks.add_task(make_report, "Sales & more")
    background_tasks.add_task(make_thumbnail, 200)
    return {"message": "accepted"}
