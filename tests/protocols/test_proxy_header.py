"""PROXY headers: what they say, and that nothing else is taken for one."""

import ipaddress
import struct
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdition.identity import Ends
from perdition.protocols import ProtocolError
from perdition.protocols.proxy_header import (
    SIGNATURE,
    Header,
    More,
    TlsSeen,
    begins,
    build_v1,
    build_v2,
    crc32c,
    may_begin,
    parse,
)
from perdition.protocols.wire import Wire
from support.talking import Lacking, play

ENDS = Ends("192.168.0.1", 56324, "192.168.0.11", 443)
ENDS_6 = Ends("2001:db8::1", 56324, "2001:db8::b", 443)
LINE = b"PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n"
LONG = "ffff:" * 7 + "ffff"
ADDRESSES = bytes([192, 168, 0, 1, 192, 168, 0, 11]) + struct.pack("!HH", 56324, 443)


def v2(block: bytes, *, command: int = 0x21, family: int = 0x11, size: int | None = None) -> bytes:
    length = len(block) if size is None else size
    return SIGNATURE + struct.pack("!BBH", command, family, length) + block


def tlv(kind: int, value: bytes) -> bytes:
    return struct.pack("!BH", kind, len(value)) + value


def parsed(data: bytes) -> Header:
    """The header, after which nothing has been read."""
    wire = Wire(data + b"rest")
    header = play(parse(wire), wire, [])
    assert wire.take_unread() == b"rest"
    return header


@pytest.mark.parametrize(
    ("line", "ends"),
    [
        (LINE, ENDS),
        (
            b"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n",
            Ends("255.255.255.255", 65535, "255.255.255.255", 65535),
        ),
        (f"PROXY TCP6 {LONG} {LONG} 65535 65535\r\n".encode(), Ends(LONG, 65535, LONG, 65535)),
        (b"PROXY TCP6 2001:DB8::1 2001:db8::b 56324 443\r\n", ENDS_6),
        (b"PROXY TCP6 ::ffff:c0a8:1 ::ffff:192.168.0.11 56324 443\r\n", ENDS),
        (b"PROXY UNKNOWN\r\n", None),
        (f"PROXY UNKNOWN {LONG} {LONG} 65535 65535\r\n".encode(), None),
    ],
)
def test_lines_of_the_specification_are_read(line: bytes, ends: Ends | None) -> None:
    assert len(line) <= 107
    assert parsed(line) == Header(ends)


@pytest.mark.parametrize(
    "line",
    [
        b"a CAPABILITY\r\n",
        b"PROXYTCP4 192.168.0.1 192.168.0.11 56324 443\r\n",
        b"PROXY TCP4 192.168.0.1 192.168.0.11 56324\r\n",
        b"PROXY TCP4 192.168.0.1 192.168.0.11 56324 443 1\r\n",
        b"PROXY TCP4  192.168.0.1 192.168.0.11 56324 443\r\n",
        b"PROXY tcp4 192.168.0.1 192.168.0.11 56324 443\r\n",
        b"PROXY TCP4 192.168.0.01 192.168.0.11 56324 443\r\n",
        b"PROXY TCP4 2001:db8::1 2001:db8::b 56324 443\r\n",
        b"PROXY TCP6 192.168.0.1 192.168.0.11 56324 443\r\n",
        b"PROXY TCP6 fe80::1%lo fe80::2 56324 443\r\n",
        b"PROXY TCP4 host 192.168.0.11 56324 443\r\n",
        b"PROXY TCP4 192.168.0.1 192.168.0.11 056324 443\r\n",
        b"PROXY TCP4 192.168.0.1 192.168.0.11 65536 443\r\n",
        b"PROXY TCP4 192.168.0.1 192.168.0.11 -1 443\r\n",
        b"PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\n" + b"x" * 107,
        b"PROXY UNKNOWN " + b"x" * 92 + b"\r\n",
        b"\r\n\r\n\0\r\nQUIT\r",
    ],
)
def test_what_is_not_quite_a_header_is_refused(line: bytes) -> None:
    wire = Wire(line)
    with pytest.raises(ProtocolError):
        play(parse(wire), wire, [])


@pytest.mark.parametrize(
    ("data", "header"),
    [
        (v2(ADDRESSES), Header(ENDS)),
        (v2(b"", command=0x20, family=0), Header(None)),
        (v2(ADDRESSES, command=0x20), Header(None)),
        (v2(b"whatever", command=0x20, family=0xFF), Header(None)),
        (v2(b"whatever", family=0x00), Header(None)),
        (v2(ADDRESSES, family=0x10), Header(None)),
        (v2(b"whatever", family=0x10), Header(None)),
        (v2(ADDRESSES + tlv(1, b"imap"), family=0x12), Header(None, More(alpn=b"imap"))),
        (v2(bytes(216), family=0x31), Header(None)),
        (v2(ADDRESSES + tlv(4, b"\0\0") + tlv(0x30, b"x")), Header(ENDS)),
        (v2(ADDRESSES + tlv(0xE7, b"other")), Header(ENDS)),
        (v2(ADDRESSES + tlv(0xE7, b"perdition ttl=10")), Header(ENDS)),
        (v2(ADDRESSES + tlv(0x20, b"\0\0\0\0\1")), Header(ENDS)),
        (
            v2(ADDRESSES + tlv(0x20, b"\1\0\0\0\0" + tlv(0x21, b"TLSv1.3"))),
            Header(ENDS, More(TlsSeen("TLSv1.3"))),
        ),
        (
            v2(ADDRESSES + tlv(0x20, b"\5\0\0\0\0" + tlv(0x22, b"ann"))),
            Header(ENDS, More(TlsSeen(common_name="ann", verified=True))),
        ),
        (
            v2(ADDRESSES + tlv(0x20, b"\7\0\0\0\1" + tlv(0x22, b"ann"))),
            Header(ENDS, More(TlsSeen(common_name="ann"))),
        ),
    ],
)
def test_version_2_is_read(data: bytes, header: Header) -> None:
    assert parsed(data) == header


@pytest.mark.parametrize(
    "data",
    [
        v2(ADDRESSES, command=0x11),
        v2(ADDRESSES, command=0x22),
        v2(ADDRESSES, family=0x41),
        v2(ADDRESSES, family=0x13),
        v2(ADDRESSES[:-1]),
        v2(ADDRESSES, family=0x21),
        v2(b"", size=65535),
        v2(ADDRESSES + b"\1"),
        v2(ADDRESSES + b"\1\0\5imap"),
        v2(ADDRESSES + tlv(5, b"x" * 129)),
        v2(ADDRESSES + tlv(0x20, b"\1\0\0\0")),
        v2(ADDRESSES + tlv(0x20, b"\1\0\0\0\0\x21")),
        v2(ADDRESSES + tlv(3, b"\0\0\0")),
        v2(ADDRESSES + tlv(3, b"\0\0\0\0")),
    ],
)
def test_a_broken_header_of_version_2_is_refused(data: bytes) -> None:
    wire = Wire(data)
    with pytest.raises(ProtocolError):
        play(parse(wire), wire, [])


@pytest.mark.parametrize(
    ("data", "checksum"),
    # RFC 3720 appendix B.4
    [
        (b"\0" * 32, 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (b"123456789", 0xE3069283),
    ],
)
def test_the_checksum_is_that_of_the_rfc(data: bytes, checksum: int) -> None:
    assert crc32c(data) == checksum


def test_a_header_with_the_right_checksum_is_read() -> None:
    zeroed = v2(ADDRESSES + tlv(3, bytes(4)) + tlv(5, b"abc"))
    right = zeroed.replace(b"\3\0\4\0\0\0\0", b"\3\0\4" + crc32c(zeroed).to_bytes(4, "big"))
    assert parsed(right) == Header(ENDS, More(unique_id=b"abc"))
    wire = Wire(right.replace(b"abc", b"abd"))
    with pytest.raises(ProtocolError, match="checksum"):
        play(parse(wire), wire, [])


def test_families_are_not_mixed() -> None:
    mixed = Ends("192.0.2.1", 1, "2001:db8::1", 2)
    assert build_v1(mixed) == b"PROXY TCP6 0:0:0:0:0:ffff:c000:201 2001:db8:0:0:0:0:0:1 1 2\r\n"
    assert parsed(build_v1(mixed)).ends == parsed(build_v2(mixed)).ends == mixed


def test_a_scope_is_not_sent() -> None:
    local = Ends("fe80::1%lo", 1, "fe80::2", 2)
    assert parsed(build_v1(local)).ends == Ends("fe80::1", 1, "fe80::2", 2)


def test_ends_without_addresses_are_not_made_up() -> None:
    nobody = Ends("", 0, "", 0)
    assert build_v1(nobody) == b"PROXY UNKNOWN\r\n"
    assert parsed(build_v2(nobody)) == Header(None)


addresses = st.one_of(
    *(st.tuples(each, each) for each in (st.ip_addresses(v=4), st.ip_addresses(v=6))),
    st.tuples(st.ip_addresses(), st.ip_addresses()),
)
ports = st.integers(0, 65535)
texts = st.text(st.characters(codec="utf-8"), max_size=40)


def plain(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    return str(getattr(address, "ipv4_mapped", None) or address)


all_ends = st.builds(
    lambda pair, client, local: Ends(plain(pair[0]), client, plain(pair[1]), local),
    *(addresses, ports, ports),
)
mores = st.builds(
    More,
    st.none() | st.builds(TlsSeen, texts, texts, texts, st.booleans()),
    texts,
    st.binary(max_size=20),
    st.binary(max_size=128),
    st.none() | st.integers(0, 9),
)


@given(all_ends, mores)
def test_what_is_built_is_read(ends: Ends, more: More) -> None:
    assert parsed(build_v1(ends)) == Header(ends)
    assert parsed(build_v2(ends, more)) == Header(ends, more)


@given(all_ends, mores, st.integers(1, 60))
def test_chunking_never_shows(ends: Ends, more: More, size: int) -> None:
    for data in (build_v1(ends), build_v2(ends, more)):
        wire = Wire()
        pieces = [data[at : at + size] for at in range(0, len(data), size)]
        assert play(parse(wire), wire, pieces) == parsed(data)
        cut = Wire(data[:-1])
        with pytest.raises(Lacking):
            play(parse(cut), cut, [])


blocks = st.one_of(
    st.binary(max_size=300),
    st.lists(st.binary(max_size=40).map(lambda value: tlv(0x20, value))).map(b"".join),
)


@given(
    st.one_of(
        st.binary(max_size=200),
        st.binary(max_size=200).map(lambda rest: b"PROXY TCP6 " + rest + b"\r\n"),
        st.builds(
            v2,
            blocks.map(lambda rest: ADDRESSES + rest),
            command=st.sampled_from([0x20, 0x21]),
            family=st.sampled_from([0x11, 0x21, 0x31]),
        ),
    )
)
def test_no_input_raises_anything_but_the_documented_error(data: bytes) -> None:
    wire = Wire(data)
    try:
        play(parse(wire), wire, [])
    except (ProtocolError, Lacking):
        return


def test_a_checksum_has_four_octets() -> None:
    zeroed = v2(ADDRESSES + tlv(3, bytes(5)))
    wire = Wire(zeroed[:-5] + crc32c(zeroed).to_bytes(5, "big"))
    with pytest.raises(ProtocolError, match="checksum"):
        play(parse(wire), wire, [])


def test_a_header_is_as_long_as_the_longest_addresses_and_some_more_at_most() -> None:
    longest = ADDRESSES + tlv(4, bytes(2264 - len(ADDRESSES) - 3))
    assert parsed(v2(longest)) == Header(ENDS)
    wire = Wire(v2(longest, size=2265))
    with pytest.raises(ProtocolError, match="too long"):
        play(parse(wire), wire, [])


def test_who_looks_at_the_verification_alone_takes_nobody_for_verified() -> None:
    for verified, said in ((True, b"\7\0\0\0\0"), (False, b"\1\0\0\0\1")):
        header = build_v2(ENDS, More(TlsSeen(verified=verified)))
        assert header.endswith(tlv(0x20, said))


def test_a_beginning_is_known_however_it_arrives() -> None:
    for header in (LINE, v2(ADDRESSES)):
        assert begins(header)
        known = [size for size in range(1, len(header)) if begins(header[:size])]
        waited = [size for size in range(1, len(header)) if may_begin(header[:size])]
        assert known[0] == waited[-1] + 1
    assert not any(may_begin(line) for line in (b"\r\n", b"\r\n\r\n", b"QUIT\r\n", b"PROX\r\n"))
    assert not begins(b"PROXYING\r\n")


def test_a_unique_id_is_not_longer_than_it_may_be() -> None:
    more = More(unique_id=b"x" * 200)
    assert parsed(build_v2(ENDS, more)).more == replace(more, unique_id=b"x" * 128)
