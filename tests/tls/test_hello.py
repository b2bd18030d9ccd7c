"""What a ClientHello says, read by us and answered by OpenSSL."""

import random
import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as some

from perdition.tls import TlsFailed
from perdition.tls.hello import (
    LONGEST_HELLO,
    NO_APPLICATION_PROTOCOL,
    Ear,
    Hello,
    NoHello,
    read_hello,
    says_nothing_of_protocols,
)
from perdition.tls.stream import Stream
from tls.conftest import client_context, server_context

NAME = "Mail.example.org"
VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


def client(name=None, protocols=(), version=None):
    context = client_context()
    if version:
        context.maximum_version = version
    if protocols:
        context.set_alpn_protocols(list(protocols))
    return Stream(context, server_hostname=name)


def said(*arguments, **more):
    """The octets of a ClientHello of OpenSSL's."""
    stream = client(*arguments, **more)
    stream.handshake()
    return stream.take()


def in_records(data, size):
    """The same in records of that size."""
    message = data[5:]
    return b"".join(
        data[:3] + len(piece).to_bytes(2) + piece
        for piece in (message[at : at + size] for at in range(0, len(message), size))
    )


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", [None, NAME])
@pytest.mark.parametrize("protocols", [(), ("imap",), ("h2", "imap")])
@pytest.mark.parametrize("record", [1, 7, 100, 16384])
@pytest.mark.parametrize("piece", [1, 5, 4096])
def test_name_and_protocols_are_heard_however_they_come(version, name, protocols, record, piece):
    data = in_records(said(name, protocols, version), record)
    wanted = Hello(name and name.lower(), tuple(each.encode() for each in protocols))
    ear = Ear()
    answers = [ear.hear(data[at : at + piece]) for at in range(0, len(data), piece)]
    assert answers[-1] == wanted
    assert not any(answers[:-1])


@pytest.mark.parametrize("version", VERSIONS)
def test_without_protocols_there_is_nothing_to_read(version):
    assert says_nothing_of_protocols(said(NAME, (), version))
    assert not says_nothing_of_protocols(said(NAME, ("imap",), version))


def test_what_is_not_whole_in_one_record_has_to_be_read():
    data = said(NAME)
    assert not says_nothing_of_protocols(data[:-1])
    assert not says_nothing_of_protocols(in_records(data, 100))
    assert not says_nothing_of_protocols(b"")


@given(some.binary())
def test_any_octets_are_a_hello_or_none(data):
    ear = Ear()
    try:
        ear.hear(data)
    except NoHello:
        return


@given(some.data())
def test_a_hello_with_faults_is_a_hello_or_none(data):
    octets = bytearray(said(NAME, ("imap", "h2")))
    for _ in range(data.draw(some.integers(1, 4))):
        octets[data.draw(some.integers(0, len(octets) - 1))] = data.draw(some.integers(0, 255))
    try:
        found = Ear().hear(bytes(octets[: data.draw(some.integers(0, len(octets)))]))
    except NoHello:
        return
    assert found is None or found.server_name is None or found.server_name.isprintable()


@given(some.binary(max_size=2000))
def test_any_body_is_a_hello_or_none(body):
    try:
        read_hello(body)
    except NoHello:
        return


def test_a_hello_without_end_is_given_up():
    ear = Ear()
    record = b"\x16\x03\x01\x40\x00" + b"\x01\xff\xff\xff" + bytes(16380)
    for _ in range(LONGEST_HELLO // 16384):
        assert ear.hear(record) is None
    with pytest.raises(NoHello):
        ear.hear(record)


def test_other_kinds_of_records_and_messages_are_none():
    for data in (b"\x17" + said()[1:], b"\x16\x03\x01\x00\x04\x02\x00\x00\x00", b"a LOGIN b c\r\n"):
        with pytest.raises(NoHello):
            Ear().hear(data)


def test_octets_behind_the_protocols_are_not_passed_over():
    """Who looks for the list alone would not see it."""
    data = said(NAME, ("imap",))
    plain = b"\0\x10\0\x07\0\x05\x04imap"
    assert plain in data
    body = data[9:].replace(plain, b"\0\x10\0\x08\0\x05\x04imap\0")
    # The extensions, of which there is one octet more, end the ClientHello.
    place = 34
    for width in (1, 2, 1):
        place += width + int.from_bytes(body[place : place + width])
    length = int.from_bytes(body[place : place + 2]) + 1
    with pytest.raises(NoHello):
        read_hello(body[:place] + length.to_bytes(2) + body[place + 2 :])


def shaken(pki, stream, pieces=1 << 20):
    """A handshake of a client with a server that speaks IMAP; the server."""
    context = server_context(pki.file("leaf"))
    context.set_alpn_protocols(["imap"])
    server = Stream(context, server_side=True, protocol=b"imap")
    for _ in range(3):
        stream.handshake()
        data = stream.take()
        try:
            for at in range(0, len(data), pieces):
                server.feed(data[at : at + pieces])
            server.handshake()
        finally:
            stream.feed(server.take())
    return server


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("offered", "agreed"), [((), None), (("imap",), "imap"), (("h2", "imap"), "imap")]
)
@pytest.mark.parametrize("pieces", [1, 1 << 20])
def test_who_offers_our_protocol_or_none_is_served(pki, version, offered, agreed, pieces):
    peer = client(NAME, offered, version)
    server = shaken(pki, peer, pieces)
    assert server.tls.selected_alpn_protocol() == peer.tls.selected_alpn_protocol() == agreed
    assert server.server_name == NAME.lower()
    server.forget_hello()
    assert server.server_name is None


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("pieces", [1, 1 << 20])
def test_who_offers_others_only_gets_the_alert_and_nothing_else(pki, version, pieces):
    peer = client(NAME, ("h2", "http/1.1\n"), version)
    reason = "ALPN: the client offers 'h2', 'http/1.1\\n', not imap"
    with pytest.raises(TlsFailed) as failure:
        shaken(pki, peer, pieces)
    assert failure.value.reason == reason
    with pytest.raises(TlsFailed, match="alert no application protocol"):
        peer.handshake()


def test_the_alert_is_a_fatal_120():
    assert NO_APPLICATION_PROTOCOL[-2:] == bytes((2, 120))


def test_without_a_name_none_is_known(pki):
    assert shaken(pki, client()).server_name is None


def test_random_faults_never_get_past_the_check(pki):
    """Whatever OpenSSL still takes for a handshake with other protocols has been refused."""
    chance = random.Random(7)
    original = said(NAME, ("h2",), ssl.TLSVersion.TLSv1_2)
    for _ in range(300):
        octets = bytearray(original)
        octets[chance.randrange(5, len(octets))] ^= 1 << chance.randrange(8)
        server = Stream(server_context(pki.file("leaf")), server_side=True, protocol=b"imap")
        try:
            server.feed(bytes(octets))
            server.handshake()
        except TlsFailed:
            continue
        heard = Ear().hear(bytes(octets))
        assert heard is None or not heard.protocols or b"imap" in heard.protocols
