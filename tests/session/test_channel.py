"""A peer's socket while the log-in lasts."""

import socket
import time
from collections.abc import Iterator

import pytest

from perdition.patience import Patience
from perdition.protocols import Talk
from perdition.protocols.wire import Wire
from perdition.session.channel import Channel, PeerGone, PeerSilent, converse

Pair = tuple[socket.socket, socket.socket]
SECONDS = 20


@pytest.fixture
def pair() -> Iterator[Pair]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.settimeout(SECONDS)
        yield ours, theirs


def channel(pair: Pair, seconds: float) -> Channel:
    return Channel(pair[0], Patience(pair[0].fileno(), seconds), timeout=0)


def listen_for_ever(wire: Wire) -> Talk[None]:
    while True:
        yield from wire.read_line(100)


def test_a_peer_that_always_has_more_to_say_is_listened_to_until_the_deadline(pair: Pair) -> None:
    class Flood(Wire):
        """As soon as something is read there is more of it."""

        def feed(self, data: bytes) -> None:
            assert time.monotonic() < end, "it is listened to for ever"
            pair[1].sendall(data)
            super().feed(data)

    end = time.monotonic() + SECONDS
    wire = Flood()
    pair[1].sendall(b"x\n" * 50)
    with pytest.raises(PeerSilent):
        converse(listen_for_ever(wire), wire, channel(pair, 0.2))


def test_no_pause_goes_on_after_the_deadline(pair: Pair) -> None:
    with pytest.raises(PeerSilent):
        channel(pair, 0.1).pause(SECONDS)


def test_a_pause_of_no_time_takes_none(pair: Pair) -> None:
    channel(pair, 3600).pause(0)


def test_a_pause_longer_than_the_system_can_count_is_one(pair: Pair) -> None:
    pair[1].close()
    with pytest.raises(PeerGone):
        channel(pair, 0).pause(2**31 - 1)
