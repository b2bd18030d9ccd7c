"""TLS in memory: two of them, and the network between them is us."""

import itertools
import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdition.tls import TlsFailed
from perdition.tls.stream import RECORD_SIZE, WAITING_SIZE, Stream
from tls.conftest import client_context, server_context

LARGE = 262144


def carry(sender, receiver, size=1 << 20):
    """Bring what one has to say to the other, in pieces."""
    data = sender.take()
    for start in range(0, len(data), size):
        receiver.feed(data[start : start + size])
    return len(data)


def pair(pki, highest=None):
    """Server and client, before the handshake."""
    return (
        Stream(server_context(pki.file("leaf"), highest=highest), server_side=True),
        Stream(client_context(), server_hostname="localhost"),
    )


def shake(server, client, size=1 << 20):
    """The handshake."""
    for _ in range(10):
        done = client.handshake()
        carry(client, server, size)
        done = server.handshake() and done
        carry(server, client, size)
        if done:
            return
    raise AssertionError("no end of the handshake")


@pytest.fixture(params=[ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def ends(request, pki):
    """Server and client that have shaken hands."""
    server, client = pair(pki, request.param)
    shake(server, client)
    return server, client


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_handshake_can_come_in_pieces(pki, size):
    server, client = pair(pki)
    shake(server, client, size)
    assert server.tls.version() == client.tls.version() == "TLSv1.3"


@pytest.mark.parametrize("size", [1, RECORD_SIZE, RECORD_SIZE + 1, LARGE])
def test_what_is_said_arrives_whole(ends, size):
    server, client = ends
    data = bytes(each % 251 for each in range(size))
    raw = b"".join(server.encrypt(data))
    buffer = memoryview(bytearray(LARGE + 2 * RECORD_SIZE))
    # As much as the relay reads at a time; the rest of a record comes with the next piece.
    got = b""
    for start in range(0, len(raw), LARGE):
        got += buffer[: client.receive(memoryview(raw[start : start + LARGE]), buffer)]
    assert got == data
    assert not client.has_ended


@given(st.binary(min_size=1, max_size=3 * RECORD_SIZE), st.lists(st.integers(1, 20000), min_size=1))
def test_pieces_of_any_size_make_the_same(given_ends, text, sizes):
    server, client = given_ends
    raw = b"".join(server.encrypt(text))
    buffer = memoryview(bytearray(LARGE))
    got = b""
    for size in itertools.cycle(sizes):
        try:
            got += buffer[: client.receive(memoryview(raw[:size]), buffer)]
        except ssl.SSLWantReadError:
            assert not client.has_ended
        raw = raw[size:]
        if not raw:
            break
    assert got == text


@pytest.fixture(scope="module")
def given_ends(pki):
    server, client = pair(pki)
    shake(server, client)
    return server, client


def test_an_end_is_said_and_heard_after_what_comes_before(ends):
    server, client = ends
    raw = b"".join(server.encrypt(b"bye"))
    server.end()
    raw += server.take()
    buffer = memoryview(bytearray(100))
    assert client.receive(memoryview(raw), buffer) == 3
    assert client.has_ended
    assert client.receive(memoryview(b""), buffer) == 0


def test_who_has_ended_his_side_goes_on_to_hear(ends):
    server, client = ends
    server.end()
    client.feed(server.take())
    assert client.read(10) == b""
    buffer = memoryview(bytearray(100))
    assert server.receive(memoryview(b"".join(client.encrypt(b"more"))), buffer) == 4
    assert not server.has_ended


def test_an_end_without_a_word_is_one_too(ends):
    server, _client = ends
    server.feed(b"")
    assert server.read(10) == b""
    assert server.has_ended


def test_nothing_yet_is_no_end(ends):
    server, _client = ends
    assert server.read(10) is None
    assert not server.has_ended


def test_what_is_no_tls_is_refused(pki):
    server, _client = pair(pki)
    server.feed(b"a1 LOGIN ann sesame\r\n")
    with pytest.raises(TlsFailed, match="protocol error: wrong version number"):
        server.handshake()


def test_a_peer_that_is_refused_is_told_why(pki):
    server, client = pair(pki)
    client.tls.context.maximum_version = ssl.TLSVersion.TLSv1_2
    server, client = (
        Stream(server_context(pki.file("leaf"), lowest=ssl.TLSVersion.TLSv1_3), server_side=True),
        Stream(client.tls.context),
    )
    client.handshake()
    carry(client, server)
    with pytest.raises(TlsFailed, match="protocol error: unsupported protocol"):
        server.handshake()
    client.feed(server.take())
    with pytest.raises(TlsFailed, match="alert protocol version"):
        client.handshake()


def test_a_peer_that_leaves_in_the_handshake_is_a_failure(pki):
    server, _client = pair(pki)
    server.feed(b"")
    with pytest.raises(TlsFailed, match="protocol error"):
        server.handshake()


def test_garbage_after_the_handshake_is_an_error(ends):
    server, _client = ends
    with pytest.raises(OSError):  # noqa: PT011 - any of them
        server.receive(memoryview(b"\x17\x03\x03\x00\x20" + b"x" * 32), memoryview(bytearray(100)))


def test_what_waits_for_the_next_words_has_a_bound(pki):
    server, client = pair(pki, ssl.TLSVersion.TLSv1_3)
    shake(server, client)
    assert server.can_wait()
    assert not client.can_wait()
    server.outgoing.write(bytes(WAITING_SIZE + 1))
    assert not server.can_wait()
