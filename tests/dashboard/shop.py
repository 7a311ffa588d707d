"""Tasks of an app, for jobs that are run again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Annotated

from fastapi import Depends
from pydantic import BaseModel


class Order(BaseModel):
    id: int
    paid: bool = False


@dataclass
class Parcel:
    weight: float


def clerk() -> str:
    return "Ann"


def send(to: str, order: Order | None = None, *, day: date | None = None, count: int = 1) -> None: ...


def pack(parcel: Parcel) -> None: ...


def log(*words: str, **more: int) -> None: ...


def sign(paper: str, by: Annotated[str, Depends(clerk)]) -> None: ...
