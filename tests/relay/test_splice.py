"""Octets from socket to socket inside the kernel."""

import contextlib
import socket
from collections.abc import Iterator

import pytest

from perdition.relay.pipe import LARGE
from perdition.relay.splice import Splice


@pytest.fixture
def splice() -> Iterator[Splice]:
    made = Splice()
    yield made
    made.close()


def connection() -> tuple[socket.socket, socket.socket]:
    """A TCP connection; our end does not block."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        theirs = socket.create_connection(listener.getsockname())
        ours, _ = listener.accept()
    ours.setblocking(False)
    theirs.settimeout(10)
    return ours, theirs


@pytest.fixture
def source() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = connection()
    with ours, theirs:
        yield ours, theirs


sink = source


def read(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        data += sock.recv(size - len(data))
    return data


Pair = tuple[socket.socket, socket.socket]


def test_octets_go_through(splice: Splice, source: Pair, sink: Pair) -> None:
    source[1].sendall(b"x" * 1000)
    assert splice.move(source[0].fileno(), sink[0].fileno()) == (1000, b"")
    assert read(sink[1], 1000) == b"x" * 1000
    with pytest.raises(BlockingIOError):
        splice.move(source[0].fileno(), sink[0].fileno())
    source[1].close()
    assert splice.move(source[0].fileno(), sink[0].fileno()) == (0, b"")


def fill(sock: socket.socket) -> int:
    """Send until nothing more is taken."""
    filled = 0
    try:
        while True:
            filled += sock.send(b"f" * LARGE)
    except BlockingIOError:
        return filled


def test_what_the_sink_does_not_take_is_handed_back(
    splice: Splice, source: Pair, sink: Pair
) -> None:
    filled = fill(sink[0])
    text = bytes(each % 251 for each in range(100_000))
    source[1].sendall(text)
    got = b""
    while len(got) < len(text):
        try:
            count, rest = splice.move(source[0].fileno(), sink[0].fileno())
        except BlockingIOError:
            continue
        # The system may find room for some.
        got += read(sink[1], filled + count - len(rest))[filled:] if count > len(rest) else b""
        filled = 0 if count > len(rest) else filled
        got += rest
        if rest:
            break
    assert text.startswith(got)
    assert got


def test_octets_for_a_broken_sink_do_not_reach_the_next_one(
    splice: Splice, source: Pair, sink: Pair
) -> None:
    broken, far = connection()
    far.close()

    def send() -> None:
        source[1].sendall(b"secret" * 100)
        with contextlib.suppress(BlockingIOError):
            splice.move(source[0].fileno(), broken.fileno())

    with broken, pytest.raises(OSError):  # noqa: PT011, PT012 - sooner or later; whichever
        for _ in range(1000):
            send()
    other, peer = connection()
    with other, peer:
        peer.sendall(b"mine")
        for _ in range(1000):
            try:
                count, rest = splice.move(other.fileno(), sink[0].fileno())
                break
            except BlockingIOError:
                continue
        assert (count, rest) == (4, b"")
        assert read(sink[1], 4) == b"mine"
