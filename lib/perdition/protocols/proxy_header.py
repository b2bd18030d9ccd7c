"""The PROXY protocol, versions 1 and 2: who the client is, said before its first octet.

The specification is HAProxy's doc/proxy-protocol.txt, to which the sections here belong.
"""

import ipaddress
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from perdition.identity import Ends
from perdition.parameters import MOST_PORT
from perdition.protocols import ProtocolError, Talk, decode, encode
from perdition.protocols.wire import Wire

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
# Section 2.1: the longest line, CRLF included.
V1_LIMIT = 107
V1_BEGINNING = b"PROXY "
# Section 2.2.
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
# With fewer of them it is empty lines.
LEAST_OF_SIGNATURE = 5
# What follows the first 16 octets: the longest addresses, and room for what is said of TLS.
V2_LIMIT = 216 + 2048
FIXED = struct.Struct("!BBH")
VERSION = 0x20
LOCAL, PROXY = 0x00, 0x01
STREAM = 0x01
INET, INET6 = 0x10, 0x20
# Octets of the addresses of each family, for the protocols that have any.
FAMILIES = {0x00: 0, INET: 12, INET6: 36, 0x30: 216}
PROTOCOLS = (0x00, STREAM, 0x02)
ADDRESSES = {INET: struct.Struct("!4s4sHH"), INET6: struct.Struct("!16s16sHH")}
# Sections 2.2.1 to 2.2.6
ALPN, AUTHORITY, CRC32C, UNIQUE_ID, SSL = 0x01, 0x02, 0x03, 0x05, 0x20
SSL_VERSION, SSL_CN, SSL_CIPHER = 0x21, 0x22, 0x23
UNIQUE_ID_LIMIT = 128
CLIENT_SSL, CLIENT_CERT = 0x01, 0x02 | 0x04
# Section 2.2.8: of the types for applications, the one in which proxies like us count their hops.
HOPS = 0xE7
HOPS_VALUE = re.compile(rb"perdition ttl=([0-9])")
TLV = struct.Struct("!BH")
SSL_HEAD = struct.Struct("!BI")
CRC32C_SIZE = 4
CRC32C_POLYNOMIAL = 0x82F63B78
PORT = re.compile(r"0|[1-9][0-9]{0,4}")


class TlsSeen(NamedTuple):
    """TLS between a client and the proxy that it reached first.

    Attributes:
        version: as "TLSv1.3"; empty where it was not said.
        cipher: OpenSSL's name for it; empty where it was not said.
        common_name: of the client's certificate, empty where it has shown none.
        verified: it has shown one, and that was good.
    """

    version: str = ""
    cipher: str = ""
    common_name: str = ""
    verified: bool = False


@dataclass(frozen=True, slots=True)
class More:
    """What version 2 says beside the addresses.

    Attributes:
        tls: how the client's link is encrypted, None where it is not.
        authority: the name that the client asked for (SNI), empty for none.
        alpn: the protocol that was agreed on in the handshake, empty for none.
        unique_id: stands for the client's connection, empty for none.
        ttl: how many proxies may still follow, None where nobody counts.
    """

    tls: TlsSeen | None = None
    authority: str = ""
    alpn: bytes = b""
    unique_id: bytes = b""
    ttl: int | None = None


NOTHING_MORE = More()


class Header(NamedTuple):
    """A header.

    Attributes:
        ends: of the client's connection; None where those of the connection itself count.
        more: what else it says.
    """

    ends: Ends | None
    more: More = NOTHING_MORE


# What no client's first line begins with, but for an empty one.
FIRST = (V1_BEGINNING[:1], SIGNATURE[:1])


def begins(data: bytes) -> bool:
    """Whether these first octets of a peer are the beginning of a header."""
    return data.startswith((V1_BEGINNING, SIGNATURE))


def may_begin(data: bytes) -> bool:
    """Whether more octets are needed to know; an empty line or two are those of a client."""
    if len(data) < LEAST_OF_SIGNATURE:
        return V1_BEGINNING.startswith(data)
    return not begins(data) and (V1_BEGINNING.startswith(data) or SIGNATURE.startswith(data))


def parse(wire: Wire) -> Talk[Header]:
    """Read a header, and nothing of what follows it.

    Raises:
        ProtocolError: there is none, or not one that the specification allows. The text is for
            the log, and has nothing in it of what came.
    """
    start = b""
    while start not in (V1_BEGINNING, SIGNATURE):
        start += yield from wire.read_exactly(1)
        if not (V1_BEGINNING.startswith(start) or SIGNATURE.startswith(start)):
            raise ProtocolError("no PROXY header")
    if start == SIGNATURE:
        fixed = yield from wire.read_exactly(FIXED.size)
        size = _check_fixed(fixed)
        return _read_v2(start + fixed, (yield from wire.read_exactly(size)))
    line = start
    while not line.endswith(b"\r\n"):
        if len(line) == V1_LIMIT:
            raise ProtocolError("PROXY header too long")
        line += yield from wire.read_exactly(1)
    return Header(_read_v1(line[len(V1_BEGINNING) : -2].decode("latin-1")))


def build_v1(ends: Ends) -> bytes:
    """The line of version 1; ends without addresses are unknown."""
    pair = _addresses(ends)
    if pair is None:
        return b"PROXY UNKNOWN\r\n"
    client, local = (_text(each) for each in pair)
    family = "TCP4" if pair[0].version == 4 else "TCP6"  # noqa: PLR2004 - of IP
    return f"PROXY {family} {client} {local} {ends.client_port} {ends.local_port}\r\n".encode()


def build_v2(ends: Ends, more: More = NOTHING_MORE) -> bytes:
    """The header of version 2; without addresses it is that of a connection of our own."""
    pair = _addresses(ends)
    if pair is None:
        return SIGNATURE + FIXED.pack(VERSION | LOCAL, 0, 0)
    client, local = pair
    family = INET if client.version == 4 else INET6  # noqa: PLR2004 - of IP
    block = ADDRESSES[family].pack(client.packed, local.packed, ends.client_port, ends.local_port)
    block += _build_more(more)
    return SIGNATURE + FIXED.pack(VERSION | PROXY, family | STREAM, len(block)) + block


def _read_v1(text: str) -> Ends | None:
    """The ends in what stands between the first word of the line and its end."""
    family, *words = text.split(" ")
    if family == "UNKNOWN":
        return None
    if family not in ("TCP4", "TCP6") or len(words) != 4:  # noqa: PLR2004 - two of each
        raise ProtocolError("PROXY header without two addresses and two ports")
    kind = ipaddress.IPv4Address if family == "TCP4" else ipaddress.IPv6Address
    try:
        if "%" in text:
            raise ValueError  # a scope, which means nothing on another machine
        client, local = kind(words[0]), kind(words[1])
    except ValueError:
        raise ProtocolError("PROXY header with a bad address") from None
    return Ends(_plain(client), _port(words[2]), _plain(local), _port(words[3]))


def _port(text: str) -> int:
    if not PORT.fullmatch(text) or int(text) > MOST_PORT:
        raise ProtocolError("PROXY header with a bad port")
    return int(text)


def _check_fixed(fixed: bytes) -> int:
    """How many octets follow the fixed part of version 2."""
    command, family, size = FIXED.unpack(fixed)
    if command not in (VERSION | LOCAL, VERSION | PROXY):
        raise ProtocolError("PROXY header of an unknown version or command")
    if command & PROXY and (family & 0xF0 not in FAMILIES or family & 0x0F not in PROTOCOLS):
        raise ProtocolError("PROXY header of an unknown family or protocol")
    if size > V2_LIMIT:
        raise ProtocolError("PROXY header too long")
    return int(size)


def _read_v2(start: bytes, block: bytes) -> Header:
    """The header whose variable part that is."""
    command, kind, _size = FIXED.unpack(start[len(SIGNATURE) :])
    family, protocol = kind & 0xF0, kind & 0x0F
    if not (command & PROXY and family and protocol):
        # What the block has then is not said; it is to be discarded.
        return Header(None)
    size = FAMILIES[family]
    if len(block) < size:
        raise ProtocolError("PROXY header shorter than its addresses")
    more = _read_more(start, block, size)
    if family not in ADDRESSES or protocol != STREAM:
        return Header(None, more)
    client, local, client_port, local_port = ADDRESSES[family].unpack(block[:size])
    there, here = (_plain(ipaddress.ip_address(each)) for each in (client, local))
    return Header(Ends(there, client_port, here, local_port), more)


def _read_more(start: bytes, block: bytes, at: int) -> More:
    """What stands behind the addresses."""
    found: dict[int, bytes] = {}
    for kind, begin, value in _tlvs(block, at):
        found[kind] = value
        if kind == CRC32C:
            # Section 2.2.3: of the whole header, with zeros in the place of the sum.
            zeroed = block[:begin] + bytes(len(value)) + block[begin + len(value) :]
            if len(value) != CRC32C_SIZE or crc32c(start + zeroed) != int.from_bytes(value, "big"):
                raise ProtocolError("PROXY header with a wrong checksum")
    unique_id = found.get(UNIQUE_ID, b"")
    if len(unique_id) > UNIQUE_ID_LIMIT:
        raise ProtocolError("PROXY header with a unique id that is too long")
    hops = HOPS_VALUE.fullmatch(found.get(HOPS, b""))
    return More(
        _read_tls(found[SSL]) if SSL in found else None,
        decode(found.get(AUTHORITY, b"")),
        found.get(ALPN, b""),
        unique_id,
        int(hops[1]) if hops else None,
    )


def _read_tls(value: bytes) -> TlsSeen | None:
    """What is said of TLS, None where there is none."""
    if len(value) < SSL_HEAD.size:
        raise ProtocolError("PROXY header with a short value")
    client, verify = SSL_HEAD.unpack(value[: SSL_HEAD.size])
    found = {kind: decode(text) for kind, _begin, text in _tlvs(value, SSL_HEAD.size)}
    if not client & CLIENT_SSL:
        return None
    version, cipher, name = (found.get(kind, "") for kind in (SSL_VERSION, SSL_CIPHER, SSL_CN))
    return TlsSeen(version, cipher, name, verified=bool(client & CLIENT_CERT) and not verify)


def _tlvs(block: bytes, at: int) -> Iterator[tuple[int, int, bytes]]:
    """Type, place of the value, and value of all of them from that place on."""
    while at < len(block):
        begin = at + TLV.size
        if begin > len(block):
            raise ProtocolError("PROXY header that ends in the middle")
        kind, size = TLV.unpack(block[at:begin])
        at = begin + size
        if at > len(block):
            raise ProtocolError("PROXY header that ends in the middle")
        yield kind, begin, block[begin:at]


def _build_more(more: More) -> bytes:
    """What stands behind the addresses."""
    parts = []
    if more.alpn:
        parts.append((ALPN, more.alpn))
    if more.authority:
        parts.append((AUTHORITY, encode(more.authority)))
    if more.unique_id:
        parts.append((UNIQUE_ID, more.unique_id[:UNIQUE_ID_LIMIT]))
    if more.tls is not None:
        parts.append((SSL, _build_tls(more.tls)))
    if more.ttl is not None:
        parts.append((HOPS, b"perdition ttl=%d" % more.ttl))
    return _build_tlvs(parts)


def _build_tls(tls: TlsSeen) -> bytes:
    client = CLIENT_SSL | (CLIENT_CERT if tls.verified else 0)
    texts = zip((SSL_VERSION, SSL_CIPHER, SSL_CN), tls[:3], strict=True)
    return SSL_HEAD.pack(client, not tls.verified) + _build_tlvs(
        [(kind, encode(text)) for kind, text in texts if text]
    )


def _build_tlvs(parts: list[tuple[int, bytes]]) -> bytes:
    return b"".join(TLV.pack(kind, len(value)) + value for kind, value in parts)


def _addresses(ends: Ends) -> tuple[Address, Address] | None:
    """Both addresses in one family; None where there are none."""
    try:
        pair = tuple(
            ipaddress.ip_address(each.partition("%")[0]) for each in (ends.client, ends.local)
        )
    except ValueError:
        return None
    client, local = pair
    return (client, local) if client.version == local.version else (_mapped(client), _mapped(local))


def _mapped(address: Address) -> Address:
    """An address as one of IPv6 (RFC 4291 section 2.5.5.2)."""
    if isinstance(address, ipaddress.IPv4Address):
        return ipaddress.IPv6Address(bytes(10) + b"\xff\xff" + address.packed)
    return address


def _plain(address: Address) -> str:
    """An address as text; one of IPv4 in IPv6 as what it is."""
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(address)


def _text(address: Address) -> str:
    """An address as version 1 has it: of IPv6 in groups of hexadecimal digits only."""
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    return ":".join(f"{group:x}" for group in struct.unpack("!8H", address.packed))


def crc32c(data: bytes) -> int:
    """The checksum of RFC 4960 appendix B (RFC 3720 appendix B.4 has vectors)."""
    remainder = 0xFFFFFFFF
    for octet in data:
        remainder ^= octet
        for _ in range(8):
            remainder = (remainder >> 1) ^ (CRC32C_POLYNOMIAL if remainder & 1 else 0)
    return remainder ^ 0xFFFFFFFF
