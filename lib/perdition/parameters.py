"""How a single real server is spoken to.

Parameters, ``;key=value;...``, stand behind a destination of a map, an item of `outgoing_server`,
or a pattern of `outgoing_destinations`.
"""

import functools
import ipaddress
import re
from collections.abc import Iterable
from typing import NamedTuple

# RFC 9293 section 3.1.
MOST_PORT = 65535
TLS_WORDS = ("none", "ssl", "starttls", "starttls_force")
CLIENT_WORDS = ("none", "proxy_v1", "proxy_v2", "id", "xclient")
# Where they begin: a semicolon that is a user's is not followed by what looks like a key.
BEGINNING = re.compile(r";[ ]*(?=[a-z_]+=)")
NAME = re.compile(r"[^\s\x00-\x20\x7f/\[\];,]{1,255}")
FILE = re.compile(r"/[^\x00-\x1f\x7f]*")
PIN = re.compile(r"sha256:([0-9a-f]{64})", re.IGNORECASE)


class BadParameters(ValueError):
    """The parameters of a destination are not what they should be; the text says which."""


class Parameters(NamedTuple):
    """What is said of a destination; empty is not said.

    Attributes:
        tls: one of TLS_WORDS.
        name: that its certificate is checked for, and that it is sent (SNI).
        ca: the file of the authorities that its certificate is checked by.
        pins: SHA-256 of the public keys that it may have; nothing else is checked then.
        client: how it is told who the client is, one of CLIENT_WORDS.
    """

    tls: str = ""
    name: str = ""
    ca: str = ""
    pins: tuple[bytes, ...] = ()
    client: str = ""

    @property
    def wants_tls(self) -> bool:
        """Whether they say what its certificate has to be: without one it is not to be used."""
        return bool(self.name or self.ca or self.pins)

    def over(self, other: "Parameters | None") -> "Parameters":
        """These, and what they do not say from the other ones."""
        if other is None:
            return self
        return Parameters._make(mine or theirs for mine, theirs in zip(self, other, strict=True))


def split(text: str) -> tuple[str, str]:
    """Part a destination from its parameters, which may be none."""
    found = BEGINNING.search(text)
    return (text[: found.start()], text[found.end() :]) if found else (text, "")


@functools.lru_cache(maxsize=1024)
def parse(text: str) -> Parameters | None:
    """Read parameters, None where there are none.

    Args:
        text: ``key=value``, with semicolons between.

    Raises:
        BadParameters: one is not known, given twice, or has a value that it cannot have.
    """
    if not text:
        return None
    found: dict[str, str] = {}
    pins: list[bytes] = []
    for item in text.split(";"):
        key, _, value = item.strip(" ").partition("=")
        if key == "pin":
            pins += read_pins(value)
            continue
        check(key, value)
        if key in found:
            raise BadParameters(f"{key}= is there twice")
        found[key] = value
    parameters = Parameters(**found, pins=tuple(pins))
    if parameters.tls == "none" and parameters.wants_tls:
        raise BadParameters("tls=none, but name=, ca= and pin= are about TLS")
    return parameters


def check(key: str, value: str) -> None:
    """Check a parameter that is not a pin.

    Raises:
        BadParameters: it is none.
    """
    match key:
        case "tls" | "client":
            words = TLS_WORDS if key == "tls" else CLIENT_WORDS
            if value not in words:
                raise BadParameters(f"{key}={value}: must be one of {', '.join(words)}")
        case "name":
            if not NAME.fullmatch(value):
                raise BadParameters(f"name={value}: not a name or address")
        case "ca":
            if not FILE.fullmatch(value):
                raise BadParameters(f"ca={value}: not a path that begins with /")
        case _:
            known = ", ".join(Parameters._fields).replace("pins", "pin")
            raise BadParameters(f"{key!r} is not known; there are {known}")


def read_pins(value: str) -> Iterable[bytes]:
    """Read ``sha256:HEX``, several with + between.

    Raises:
        BadParameters: it is something else.
    """
    for item in value.split("+"):
        found = PIN.fullmatch(item)
        if found is None:
            raise BadParameters(f"pin={item}: not sha256: and 64 hexadecimal digits")
        yield bytes.fromhex(found[1])


class Rule(NamedTuple):
    """Parameters of the destinations that a pattern is for."""

    pattern: str
    parameters: Parameters


def parse_rule(text: str) -> Rule:
    """Read a pattern and its parameters, ``PATTERN;key=value;...`` in one text.

    Raises:
        BadParameters: it is something else.
    """
    pattern, rest = split(text)
    parameters = parse(rest)
    if parameters is None:
        raise BadParameters(f"{text!r} has no ;key=value")
    check_pattern(pattern)
    return Rule(pattern, parameters)


def check_pattern(pattern: str) -> None:
    """Check a pattern of hosts: one that can match nothing would be without effect, unnoticed.

    Raises:
        BadParameters: it is none.
    """
    if not pattern or not NAME.fullmatch(pattern.replace("/", "")):
        raise BadParameters(f"{pattern!r} is not the name of a host, an address or a network")
    if "*" in pattern:
        raise BadParameters(f"{pattern!r}: all hosts of a domain are written .example.com")
    try:
        if "/" in pattern:
            ipaddress.ip_network(pattern, strict=False)
        elif ":" in pattern:
            ipaddress.ip_address(pattern)
    except ValueError:
        why = "is not a network such as 192.0.2.0/24"
        if "/" not in pattern:
            why = "is not an IPv6 address, and a port is no part of a pattern"
        raise BadParameters(f"{pattern!r} {why}") from None


@functools.lru_cache(maxsize=4096)
def matches(host: str, pattern: str) -> bool:
    """Whether a pattern is for a host.

    Args:
        host: a name or an address.
        pattern: a name, ".domain" for all names in it, an address, a network.
    """
    # A dot at the end of a name makes no other name of it.
    name, wanted = host.lower().removesuffix("."), pattern.lower().removesuffix(".")
    if name == wanted or (wanted.startswith(".") and name.endswith(wanted)):
        return True
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(pattern, strict=False)
    except ValueError:
        return False
