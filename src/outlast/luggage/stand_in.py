"""What stands in a row for JSON text that is too large for it, and lies in a stored file. Pure."""

from __future__ import annotations

import json
from typing import NamedTuple

_START = '{"$":["stored",'


class StoodFor(NamedTuple):
    """The name of the stored file, and its size in bytes."""

    name: str
    size: int


def stand_in(name: str, size: int) -> str:
    """The text to write in place of the one that is stored. No arguments and no value are ever written like it."""
    return f'{_START}"{name}",{size}]}}'


def stood_for(text: str) -> StoodFor | None:
    """What a text stands for, if it is a stand-in."""
    if not text.startswith(_START):
        return None
    _, name, size = json.loads(text)["$"]
    return StoodFor(name, size)
