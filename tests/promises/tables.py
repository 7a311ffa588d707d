"""Tables of SQLAlchemy and SQLModel, whose rows no job carries."""

from __future__ import annotations

import uuid
from typing import Any

import sqlmodel
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import UserDefinedType


class Whenever(UserDefinedType[Any]):
    """A type that does not tell its Python type."""

    cache_ok = True

    @property
    def python_type(self) -> Any:
        raise NotImplementedError


class Table(DeclarativeBase):
    pass


class Order(Table):
    __tablename__ = "orders"
    id: Mapped[int] = mapped_column("order_number", primary_key=True)


class OrderLine(Table):
    __tablename__ = "lines"
    order: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)


class Odd(Table):
    __tablename__ = "odd"
    at: Mapped[Any] = mapped_column(Whenever(), primary_key=True)


class Hero(sqlmodel.SQLModel, table=True):
    id: int | None = sqlmodel.Field(default=None, primary_key=True)
