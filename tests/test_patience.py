"""Waits that are too long are ended from outside."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from perdition.patience import FOREVER, LONG_SECONDS, SILENT_SECONDS, Patience

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    ours, theirs = socket.socketpair()
    with contextlib.closing(ours), contextlib.closing(theirs):
        yield ours, theirs


def test_a_wait_that_is_too_long_wakes_its_thread(pair: Pair) -> None:
    patience, got = Patience(pair[0].fileno(), 0), []
    patience.begin(pair[0].fileno(), 5)
    thread = threading.Thread(target=lambda: got.append(pair[0].recv(1)))
    thread.start()
    patience.check(time.monotonic())
    assert not patience.expired
    patience.check(time.monotonic() + 6)
    thread.join(20)
    assert got == [b""]
    assert patience.expired


def test_a_wait_that_has_ended_is_not_looked_at(pair: Pair) -> None:
    patience = Patience(pair[0].fileno(), 0)
    patience.begin(pair[0].fileno(), 1)
    patience.end()
    patience.check(time.monotonic() + 1e9)
    pair[1].send(b"x")
    assert pair[0].recv(1) == b"x"


def test_no_wait_lasts_longer_than_all_together_may(pair: Pair) -> None:
    patience = Patience(pair[0].fileno(), 10)
    patience.begin(pair[0].fileno(), 1000)
    assert patience.until <= time.monotonic() + 10
    patience.begin(pair[0].fileno(), 0)
    assert patience.until <= time.monotonic() + 10


def test_without_limits_there_is_none(pair: Pair) -> None:
    patience = Patience(pair[0].fileno(), 0)
    patience.begin(pair[0].fileno(), 0)
    assert patience.until == FOREVER


def test_a_limit_for_some_waits_ends_with_them(pair: Pair) -> None:
    patience = Patience(pair[0].fileno(), 0)
    with patience.limited(3):
        patience.begin(pair[0].fileno(), 1000)
        assert patience.until <= time.monotonic() + 3
    patience.begin(pair[0].fileno(), 1000)
    assert patience.until > time.monotonic() + 900


def test_who_waits_for_long_may_give_way_a_silent_client_first(pair: Pair) -> None:
    client, server = pair[0].fileno(), pair[1].fileno()
    patience = Patience(client, 0)

    def may_give_way_after(seconds: float) -> bool:
        return patience.may_give_way(time.monotonic() + seconds)

    assert patience.is_clients
    assert not may_give_way_after(0)
    assert may_give_way_after(SILENT_SECONDS + 0.1)
    patience.begin(server, 0)
    assert not patience.is_clients
    assert not may_give_way_after(SILENT_SECONDS + 0.1)
    assert may_give_way_after(LONG_SECONDS + 0.1)
    # While the map is asked no thread would come free.
    patience.end()
    assert not patience.is_clients
    assert not may_give_way_after(1e9)
    # One that says a little each time.
    patience.began = time.monotonic() - 2 * LONG_SECONDS
    patience.begin(client, 0)
    assert may_give_way_after(0)
    assert patience.is_slow(time.monotonic())
    # Who has done so already is not asked again.
    assert patience.cut()
    assert not patience.is_clients
    assert not may_give_way_after(1e9)


def test_both_connections_are_cut(pair: Pair) -> None:
    ours, theirs = socket.socketpair()
    with contextlib.closing(ours), contextlib.closing(theirs):
        patience = Patience(pair[0].fileno(), 0)
        patience.begin(ours.fileno(), 10)
        patience.cut()
        assert pair[1].recv(1) == b""
        assert theirs.recv(1) == b""


def test_a_connection_that_is_forgotten_is_not_cut(pair: Pair) -> None:
    patience = Patience(pair[0].fileno(), 0)
    patience.forget(pair[0].fileno())
    patience.cut()
    pair[1].send(b"x")
    assert pair[0].recv(1) == b"x"


def test_a_session_that_waits_for_no_peer_is_ended_at_the_deadline(pair: Pair) -> None:
    patience = Patience(pair[0].fileno(), 10)
    patience.begin(pair[0].fileno(), 1)
    patience.end()
    patience.check(time.monotonic() + 5)
    assert not patience.expired
    patience.check(time.monotonic() + 11)
    assert patience.expired
    assert pair[1].recv(1) == b""


def test_a_session_that_has_left_is_not_ended(pair: Pair) -> None:
    patience = Patience(pair[0].fileno(), 10)
    patience.leave()
    patience.check(time.monotonic() + 11)
    patience.cut()
    pair[1].send(b"x")
    assert pair[0].recv(1) == b"x"
