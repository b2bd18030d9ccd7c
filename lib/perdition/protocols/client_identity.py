"""Who the client is, said from proxy to proxy in the protocol: fields of ID, or XCLIENT.

Both are Dovecot's (its documentation: "Forwarding Parameters"); others have taken them over.
"""

import ipaddress
import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from perdition.parameters import MOST_PORT
from perdition.protocols import decode

# Field and value, None for NIL.
Pair = tuple[bytes, bytes | None]
Pairs = tuple[Pair, ...]
# What Dovecot takes for the name of a session, and nobody has to quote.
SESSION_NAME = re.compile(r"[0-9A-Za-z+/=_.:@~-]{1,64}")
NUMBER = re.compile(r"[0-9]{1,5}")
# The parameters that are read, and how XCLIENT and ID call them.
XCLIENT = {
    b"ADDR": "client",
    b"PORT": "client_port",
    b"DESTADDR": "local",
    b"DESTPORT": "local_port",
    b"SESSION": "session",
    b"TTL": "ttl",
}
FIELDS = {
    b"x-originating-ip": "client",
    b"x-originating-port": "client_port",
    b"x-connected-ip": "local",
    b"x-connected-port": "local_port",
    b"x-session-id": "session",
    b"x-proxy-ttl": "ttl",
}
# Fields of that kind which are not read, but which nobody else may say either.
MORE_FIELDS = re.compile(rb"x-session-ext-id|x-forward-.*", re.DOTALL)
IPV6_PREFIX = "IPV6:"


class BadIdentity(Exception):
    """What is said of a client cannot be true."""


class Told(NamedTuple):
    """What a proxy says of its client; None for what it does not say.

    Attributes:
        client, client_port: the client's address.
        local, local_port: the address that it reached.
        session: the name of its session, for logs.
        ttl: how many proxies there may be from here on.
    """

    client: str | None = None
    client_port: int | None = None
    local: str | None = None
    local_port: int | None = None
    session: str | None = None
    ttl: int | None = None


class Introduction(NamedTuple):
    """What a real server is told after its greeting.

    Attributes:
        client: who the client is, None where it is not to know.
        pairs: what the client says of its program (RFC 2971).
    """

    client: Told | None = None
    pairs: Pairs = ()


NOBODY = Introduction()


def is_claimed(pairs: Pairs) -> bool:
    """Whether a list of ID has anything in it that only proxies say."""
    return any(
        name.lower() in FIELDS or MORE_FIELDS.fullmatch(name.lower()) for name, _value in pairs
    )


def from_pairs(pairs: Pairs) -> Told:
    """What a proxy says in a list of ID.

    Raises:
        BadIdentity: it cannot be.
    """
    return _told((FIELDS.get(name.lower()), value) for name, value in pairs if value is not None)


def from_xclient(arguments: bytes) -> Told:
    """What a proxy says in the arguments of XCLIENT; those that are not known are passed over.

    Raises:
        BadIdentity: it cannot be.
    """
    parts = (each.partition(b"=") for each in arguments.split())
    return _told((XCLIENT.get(name.upper()), value) for name, _equals, value in parts)


def to_pairs(told: Told) -> Pairs:
    """What to say in a list of ID."""
    return tuple(_said(told, FIELDS))


def to_xclient(told: Told) -> bytes:
    """What to say with XCLIENT: as Dovecot does, nothing of the address that was reached."""
    said = _said(told._replace(local=None, local_port=None), XCLIENT)
    return b" ".join([b"XCLIENT", *(b"%b=%b" % pair for pair in said)])


def _said(told: Told, names: Mapping[bytes, str]) -> Iterable[tuple[bytes, bytes]]:
    for name, attribute in names.items():
        value = getattr(told, attribute)
        if value is not None:
            yield name, str(value).encode()


def _told(said: Iterable[tuple[str | None, bytes]]) -> Told:
    found: dict[str, str | int] = {}
    for name, octets in said:
        text = decode(octets)
        match name:
            case "client" | "local":
                found[name] = _address(text)
            case "client_port" | "local_port":
                found[name] = _number(text, MOST_PORT)
            case "ttl":
                found[name] = _number(text, MOST_PORT)
            case "session" if SESSION_NAME.fullmatch(text):
                found[name] = text
    return Told(**found)  # type: ignore[arg-type]


def _address(text: str) -> str:
    if text[: len(IPV6_PREFIX)].upper() == IPV6_PREFIX:
        text = text[len(IPV6_PREFIX) :]
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise BadIdentity from None
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id:
            raise BadIdentity
        address = address.ipv4_mapped or address
    return str(address)


def _number(text: str, most: int) -> int:
    if not NUMBER.fullmatch(text) or int(text) > most:
        raise BadIdentity
    return int(text)
