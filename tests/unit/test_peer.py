"""A connection of the supervisor's loop: real sockets, nothing waits."""

from __future__ import annotations

import selectors
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from outlast import wire
from outlast.worker.peer import Peer

LARGE = "x" * (8 << 20)
"""More than any socket takes at once."""


class Pair:
    """A peer, and the plain socket at the other end."""

    def __init__(self) -> None:
        self.selector = selectors.DefaultSelector()
        ours, self.theirs = socket.socketpair()
        self.theirs.setblocking(False)
        self.messages: list[list[Any]] = []
        self.gone = 0
        self.peer = Peer(self.selector, ours, self._on_message, self._on_gone)
        self._unframer = wire.Unframer()

    def _on_message(self, peer: Peer, message: list[Any]) -> None:
        assert peer is self.peer
        self.messages.append(message)

    def _on_gone(self, peer: Peer) -> None:
        assert peer is self.peer
        self.gone += 1

    def turn(self) -> bool:
        """One turn of the supervisor's loop. False when nothing was to be done."""
        events = self.selector.select(0)
        for key, mask in events:
            key.data(mask)
        return bool(events)

    def taken(self) -> list[list[Any]]:
        """What the other side gets when it reads what is there."""
        messages: list[list[Any]] = []
        try:
            while data := self.theirs.recv(1 << 20):
                messages += self._unframer.feed(data)
        except BlockingIOError:
            pass
        return messages

    def close(self) -> None:
        self.peer.close()
        self.theirs.close()
        self.selector.close()


@pytest.fixture
def pair() -> Iterator[Pair]:
    pair = Pair()
    yield pair
    pair.close()


def test_messages_come_and_go(pair: Pair) -> None:
    pair.theirs.send(wire.frame("insert", 1, ["row"]) + wire.frame("ring"))
    pair.turn()
    pair.peer.send("kept", 1)

    assert pair.messages == [["insert", 1, ["row"]], ["ring"]]
    assert pair.taken() == [["kept", 1]]


def test_a_message_in_two_pieces_comes_once_it_is_whole(pair: Pair) -> None:
    data = wire.frame("insert", 1)
    pair.theirs.send(data[:5])
    pair.turn()
    assert pair.messages == []

    pair.theirs.send(data[5:])
    pair.turn()
    assert pair.messages == [["insert", 1]]


def test_what_the_other_side_does_not_take_is_kept_and_sent_in_order_when_it_can(pair: Pair) -> None:
    """Neither call waits, though nobody reads."""
    pair.peer.send("run", LARGE)
    pair.peer.send("stop", "id")

    arrived: list[list[Any]] = []
    while len(arrived) < 2:
        arrived += pair.taken()
        assert pair.turn() or len(arrived) == 2, "the peer has more to send, and does not want to"

    assert arrived == [["run", LARGE], ["stop", "id"]]
    assert not pair.turn(), "with nothing left to send the loop sleeps"


def test_one_that_goes_is_told_once(pair: Pair) -> None:
    pair.theirs.send(wire.frame("ready"))
    pair.theirs.close()
    while pair.turn():
        pass

    assert pair.messages == [["ready"]], "what it said before counts"
    assert pair.gone == 1
    assert not pair.peer.is_open
    pair.peer.send("run", [])
    pair.peer.close()


def test_one_that_goes_while_there_is_more_to_send_costs_nothing(pair: Pair) -> None:
    pair.peer.send("run", LARGE)
    pair.theirs.close()

    while pair.turn():
        pair.peer.send("stop", "id")

    assert pair.gone == 1


def test_the_last_words_of_one_that_died_are_read(pair: Pair) -> None:
    """All of them, though more than a turn of the loop would take."""
    pair.peer.close()
    other = Pair()
    words = [wire.frame("ended", [number, "x" * 1000]) for number in range(100)]
    other.theirs.send(b"".join(words))
    other.theirs.close()

    other.peer.drain()

    assert len(other.messages) == 100
    assert other.gone == 1
    other.close()


def test_an_event_for_one_that_was_closed_in_the_same_turn_is_nothing(pair: Pair) -> None:
    pair.theirs.send(wire.frame("ring"))
    events = pair.selector.select(0)
    pair.peer.close()

    for key, mask in events:
        key.data(mask)

    assert pair.messages == []
