"""Messages between the processes of one machine: JSON arrays behind a length of four bytes. Pure: no sockets here.

The first element of a message says what it is:

    server → supervisor   write n rows server ids-to-let-go · ring
    supervisor → server   kept n · refused n text
    supervisor → child    run jobs · stop id · sweep files-or-null · quit
    supervisor → relay    publish jobs · sweep files-or-null · quit
    relay → supervisor    ready · unready text · sent fences · unsent fences why
    child → supervisor    ready · unready text · ended ends · stopping id where is_stuck · unknown id attempt task why ·
                          told what-attempts-tell
"""

from __future__ import annotations

import json
import struct
from typing import Any

_LENGTH = struct.Struct(">I")
_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, check_circular=False).encode


def frame(*message: Any) -> bytes:
    """One message as bytes to send."""
    # An error may quote a file name that is no Unicode.
    body = _encode(message).encode("utf-8", "surrogatepass")
    return _LENGTH.pack(len(body)) + body


class Unframer:
    """Puts a stream of bytes back together: `feed` what came, get the messages that are whole."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[list[Any]]:
        buffer = self._buffer
        buffer += data
        messages, start = [], 0
        while len(buffer) - start >= 4:
            (length,) = _LENGTH.unpack_from(buffer, start)
            end = start + 4 + length
            if end > len(buffer):
                break
            messages.append(json.loads(buffer[start + 4 : end]))
            start = end
        del buffer[:start]
        return messages
