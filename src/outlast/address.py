"""The address of a PostgreSQL store: from its URL to what the driver connects to. Pure: nothing is opened here.

    postgresql://user:password@host:5432/base?schema=outlast&listen=off

`schema` and `listen` are Outlast's own; every other parameter is libpq's, and so are its environment and its files of
passwords and services. A password is never part of a name: whatever is shown, hashed or logged is `told`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit

from outlast.errors import StoreUnusable

DEFAULT_SCHEMA = "outlast"
_SCHEME = re.compile(r"(postgresql|postgres)(\+\w+)?://")
_SECRETS = ("password", "sslpassword", "passfile")
_HOST = re.compile(r"(\[[^\]]*\]|[^:]*)(?::(\d*))?")


@dataclass(frozen=True, slots=True)
class Address:
    """A schema of a database, and how it is reached."""

    url: str
    """As every process names it, with the password if it has one."""
    told: str
    """The same without the password: what may be shown."""
    schema: str
    listens: bool
    """Whether workers may LISTEN there; else they ask now and then."""
    parameters: dict[str, Any] = field(repr=False)
    """What the driver is given to connect."""


def is_postgres(url: str) -> bool:
    """Whether a URL names a PostgreSQL store, also as other programs write it: postgres://, postgresql+psycopg://."""
    return _SCHEME.match(url) is not None


def shown(url: str) -> str:
    """The URL of any store as people may see it: without a password."""
    return address_of(url).told if is_postgres(url) else url


def address_of(url: str) -> Address:
    """What a URL names. Raises StoreUnusable."""
    scheme = _SCHEME.match(url)
    assert scheme is not None
    parts = urlsplit(f"postgresql://{url[scheme.end() :]}")
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    schema, listen = query.pop("schema", DEFAULT_SCHEMA), query.pop("listen", "on")
    own = {"schema": schema} if schema != DEFAULT_SCHEMA else {}
    own |= {"listen": listen} if listen != "on" else {}
    public = {name: value for name, value in query.items() if name not in _SECRETS}
    user, _, hosts = parts.netloc.rpartition("@")
    name, _, password = user.partition(":")
    told = urlunsplit(
        parts._replace(netloc=f"{name}@{hosts}" if user else hosts, query=urlencode(public | own))
    )
    _require_schema(schema, told)
    _require_switch(listen, told)
    return Address(
        url=urlunsplit(parts._replace(query=urlencode(query | own))),
        told=told,
        schema=schema,
        listens=listen == "on",
        parameters=dict(_given(hosts, name, password, parts.path)) | query,
    )


def _given(hosts: str, user: str, password: str, path: str) -> Iterator[tuple[str, str]]:
    """In parts, not as a URL: what libpq cannot read it repeats in its errors, a password among it."""
    found = [_HOST.fullmatch(host) for host in hosts.split(",")] if hosts else []
    named = [(unquote(host[1]).strip("[]"), host[2] or "") for host in found if host is not None]
    if named:
        yield "host", ",".join(host for host, _ in named)
    if any(port for _, port in named):
        yield "port", ",".join(port for _, port in named)
    if user:
        yield "user", unquote(user)
    if password:
        yield "password", unquote(password)
    if path.strip("/"):
        yield "dbname", unquote(path.strip("/"))


def _require_schema(schema: str, told: str) -> None:
    if not re.fullmatch(r"[a-z_][a-z0-9_]{0,47}", schema):
        raise StoreUnusable(
            f"schema={schema!r} in {told}: use at most 48 lower-case letters, digits and underscores"
        )


def _require_switch(listen: str, told: str) -> None:
    if listen not in ("on", "off"):
        raise StoreUnusable(f"listen={listen!r} in {told}: say on or off")
