"""What a client's ClientHello asks for (RFC 8446 section 4.1.2), read before OpenSSL has it.

The ssl module does not say which protocols a client offered by ALPN, and goes on where none of
them is ours: an honest browser that is led here by somebody between would be answered by a mail
server that has its certificate (ALPACA, RFC 9325 section 3.7).
"""

import struct
from collections.abc import Iterator
from typing import NamedTuple

HANDSHAKE, CLIENT_HELLO = 22, 1
# Octets before what is in a record.
HEADER = 5
# RFC 8446 section 5.1 and, for what may come in records, OpenSSL's own bound of a ClientHello.
LONGEST_RECORD = 16384
LONGEST_HELLO = 131396
SERVER_NAME, PROTOCOLS = 0, 16
LOOKED_AT = {SERVER_NAME, PROTOCOLS}
ALPN = PROTOCOLS.to_bytes(2)
# A record's kind and length, and those of the first message in it.
START = struct.Struct(">B2xHBBH")
HEAD = struct.Struct(">HH").unpack_from
ASTRAY = "a length that leads nowhere"
# RFC 8446 section 6: a fatal alert, no_application_protocol (RFC 7301 section 3.2), in a record.
NO_APPLICATION_PROTOCOL = b"\x15\x03\x03\x00\x02\x02\x78"


class NoHello(Exception):
    """The octets are not a ClientHello that can be read."""


class Hello(NamedTuple):
    """What is asked for.

    Attributes:
        server_name: as RFC 6066 section 3 has it, in lower case; None where none is named.
        protocols: offered by ALPN (RFC 7301); empty where ALPN is not used.
    """

    server_name: str | None
    protocols: tuple[bytes, ...]


def says_nothing_of_protocols(data: bytes) -> bool:
    """Whether that is a whole ClientHello in one record, and surely has no ALPN.

    As a rule it is, and reading all of it would cost a few per cent of the handshake.
    """
    if len(data) < START.size:
        return False
    record, size, message, most, length = START.unpack_from(data)
    if (
        record != HANDSHAKE
        or message != CLIENT_HELLO
        or most
        or size != 4 + length
        or len(data) < HEADER + size
    ):
        return False
    place = data.find(ALPN)
    while place >= 0:
        # The extension has a list in it, and nothing else.
        if int.from_bytes(data[place + 2 : place + 4]) == 2 + int.from_bytes(
            data[place + 4 : place + 6]
        ):
            return False
        place = data.find(ALPN, place + 1)
    return True


class Ear:
    """Hears a ClientHello that comes in pieces, in one or several records."""

    __slots__ = ("_raw", "_said")

    def __init__(self) -> None:
        self._raw = bytearray()
        self._said = bytearray()

    def hear(self, data: bytes) -> Hello | None:
        """Take what has come.

        Returns:
            The ClientHello; None where more of it has to come.

        Raises:
            NoHello: it will be none.
        """
        raw, said = self._raw, self._said
        raw += data
        while len(raw) >= HEADER:
            size = int.from_bytes(raw[3:5])
            if raw[0] != HANDSHAKE or not 0 < size <= LONGEST_RECORD:
                raise NoHello("no record of a handshake")
            if len(raw) < HEADER + size:
                break
            said += raw[HEADER : HEADER + size]
            del raw[: HEADER + size]
            if said[0] != CLIENT_HELLO or len(said) > LONGEST_HELLO:
                raise NoHello("no ClientHello")
            whole = 4 + int.from_bytes(said[1:4])
            if whole <= len(said):
                return read_hello(bytes(said[4:whole]))
        return None


def read_hello(body: bytes) -> Hello:
    """Read the body of a ClientHello.

    Raises:
        NoHello: it is none.
    """
    # The version and the random octets come first.
    place = 34
    for width in (1, 2, 1):  # session, cipher suites, compression
        place += width + int.from_bytes(body[place : place + width])
    name: str | None = None
    offered: tuple[bytes, ...] = ()
    if place >= len(body):
        if place > len(body):
            raise NoHello(ASTRAY)
        return Hello(name, offered)
    extensions, place = vector(body, place, 2)
    if place != len(body):
        raise NoHello("octets after the extensions")
    for kind, content in numbered(extensions):
        if kind == SERVER_NAME:
            name = read_name(content)
        else:
            protocols, end = vector(content, 0, 2)
            if end != len(content):
                raise NoHello("octets after the protocols of ALPN")
            offered = tuple(each for each in vectors(protocols) if each)
            if not offered:
                raise NoHello("no protocols in ALPN")
    return Hello(name, offered)


def read_name(content: bytes) -> str | None:
    """The name of a server in its extension, None where it has no name that is text."""
    names, _end = vector(content, 0, 2)
    if names[:1] != b"\0":
        return None
    name = vector(names, 1, 2)[0].decode("ascii", "replace").lower()
    return name if name.isascii() and name.isprintable() else None


def vector(data: bytes, place: int, width: int) -> tuple[bytes, int]:
    """A vector whose length stands before it in so many octets, and where it ends.

    Raises:
        NoHello: it ends later than the data.
    """
    start = place + width
    end = start + int.from_bytes(data[place:start])
    if not start <= end <= len(data):
        raise NoHello(ASTRAY)
    return data[start:end], end


def vectors(data: bytes) -> Iterator[bytes]:
    """Vectors, one after the other, with lengths of one octet."""
    place = 0
    while place < len(data):
        found, place = vector(data, place, 1)
        yield found


def numbered(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The extensions that are looked at: a number and a vector each."""
    place, end = 0, len(data)
    while place < end:
        try:
            kind, size = HEAD(data, place)
        except struct.error:
            raise NoHello(ASTRAY) from None
        place += 4 + size
        if place > end:
            raise NoHello(ASTRAY)
        if kind in LOOKED_AT:
            yield kind, data[place - size : place]
