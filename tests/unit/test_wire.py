"""Messages as bytes and back, however the bytes arrive."""

from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outlast.wire import Unframer, frame

TEXT = st.text(st.characters())  # surrogates, too
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
    max_leaves=8,
)
MESSAGES = st.lists(st.lists(JSON, min_size=1), min_size=1, max_size=5)


@given(MESSAGES, st.data())
def test_messages_arrive_whole_in_whatever_pieces_their_bytes_come(
    messages: list[list[Any]], data: Any
) -> None:
    stream = b"".join(frame(*message) for message in messages)
    unframer, arrived = Unframer(), []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        arrived += unframer.feed(stream[:size])
        stream = stream[size:]

    assert arrived == messages


def test_half_a_message_is_none_yet() -> None:
    unframer, message = Unframer(), frame("ended", [1, 2])

    assert unframer.feed(message[:3]) == []
    assert unframer.feed(message[3:-1]) == []
    assert unframer.feed(message[-1:]) == [["ended", [1, 2]]]


@pytest.mark.parametrize("text", [os.fsdecode(b"caf\xe9.txt"), "\ud800", "naïve ☂ 𝄞", "\x00"])
def test_a_text_that_is_no_unicode_is_carried_as_it_is(text: str) -> None:
    """Errors quote file names, and those may hold anything."""
    assert Unframer().feed(frame(text)) == [[text]]
