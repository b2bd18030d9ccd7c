"""One peer with TLS, as the relay has it."""

import contextlib
import socket
import ssl
from collections.abc import Iterator

import pytest
from OpenSSL import SSL

from perdition.logs import Who
from perdition.relay.ends import OWN_LIMIT, End, Relayed
from perdition.tls.stream import Stream
from support.certificates import Pki

SIZE = 65536


@pytest.fixture
def stream(tmp_path) -> Stream:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(Pki(tmp_path).file("leaf"))
    return Stream(context, server_side=True)


@pytest.fixture
def client(stream: Stream) -> SSL.Connection:
    """A client that has shaken hands; what it says is for the test to carry."""
    made = SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD), None)
    made.set_connect_state()
    for _ in range(4):
        with contextlib.suppress(SSL.WantReadError):
            made.do_handshake()
        with contextlib.suppress(SSL.WantReadError):
            stream.feed(made.bio_read(SIZE))
        stream.handshake()
        if data := stream.take():
            made.bio_write(data)
    return made


@pytest.fixture
def end(stream: Stream) -> Iterator[tuple[End, socket.socket]]:
    """The relay's end of the connection to that client, and the client's end."""
    ours, theirs = socket.socketpair()
    other, far = socket.socketpair()
    with ours, theirs, other, far:
        yield Relayed((ours, stream), (other, None), Who(""), "", 0.0).client, theirs


def read(end: End) -> int:
    return end.hand_on(memoryview(bytearray(2 * SIZE)), memoryview(bytearray(SIZE)))


def test_what_tls_has_to_say_by_itself_is_said_at_once(
    client: SSL.Connection, end: tuple[End, socket.socket]
) -> None:
    client.renegotiate()
    with pytest.raises(SSL.WantReadError):
        client.do_handshake()
    end[1].sendall(client.bio_read(SIZE))
    with pytest.raises(ssl.SSLWantReadError):
        read(end[0])
    # An alert: no renegotiation.
    assert end[1].recv(100).startswith(b"\x15\x03\x03")
    assert not end[0].outgoing.pending


def test_after_its_end_tls_says_nothing_by_itself_and_listens_on(
    client: SSL.Connection, end: tuple[End, socket.socket], stream: Stream
) -> None:
    end[0].outgoing.ended = True
    end[0].end_side()
    stream.outgoing.write(b"its keys of now, as a peer has asked")
    client.send(b"x")
    end[1].sendall(client.bio_read(SIZE))
    assert read(end[0]) == 1
    assert not stream.outgoing.pending


def test_a_peer_that_has_ended_before_there_is_a_relay_has_ended(
    client: SSL.Connection, end: tuple[End, socket.socket], stream: Stream
) -> None:
    client.shutdown()
    stream.feed(client.bio_read(SIZE))
    assert stream.read(SIZE) == b""
    again = Relayed((end[0].sock, stream), (end[0].other.sock, None), Who(""), "", 0.0).client
    assert read(again) == 0


@pytest.mark.parametrize("size", [OWN_LIMIT, OWN_LIMIT + 1])
def test_a_peer_that_asks_and_does_not_listen_is_left_at_last(
    client: SSL.Connection, end: tuple[End, socket.socket], stream: Stream, size: int
) -> None:
    end[0].outgoing.pending = b"what it does not take"
    stream.outgoing.write(bytes(size))
    client.send(b"x")
    end[1].sendall(client.bio_read(SIZE))
    if size <= OWN_LIMIT:
        assert read(end[0]) == 1
    else:
        with pytest.raises(ConnectionAbortedError):
            read(end[0])


@pytest.mark.parametrize(("timeout", "limit"), [(0, 10), (5, 5), (1800, 10)])
def test_a_client_that_was_told_of_the_end_has_ten_seconds(
    end: tuple[End, socket.socket], timeout: int, limit: int
) -> None:
    relayed = end[0].relayed
    assert relayed.limit(timeout) == timeout
    relayed.client.outgoing.ended = True
    assert relayed.limit(timeout) == limit


@pytest.mark.parametrize(("timeout", "limit"), [(0, 1800), (5, 5), (3600, 3600)])
def test_a_client_that_has_ended_its_side_is_not_waited_for_without_end(
    end: tuple[End, socket.socket], timeout: int, limit: int
) -> None:
    relayed = end[0].relayed
    relayed.client.incoming.source_ended = True
    assert relayed.limit(timeout) == limit


def test_a_peer_is_told_of_the_end_by_tls_and_by_the_network(
    client: SSL.Connection, end: tuple[End, socket.socket]
) -> None:
    end[0].end_side()
    client.bio_write(end[1].recv(SIZE))
    with pytest.raises(SSL.ZeroReturnError):
        client.recv(1)
    assert end[1].recv(1) == b""


@pytest.mark.parametrize("pending", [b"", b"half a record"])
def test_tls_says_its_end_where_a_connection_is_closed_but_in_no_record(
    client: SSL.Connection, end: tuple[End, socket.socket], pending: bytes
) -> None:
    end[0].outgoing.pending = pending
    end[0].close()
    assert bool(end[1].recv(SIZE)) == (not pending)
