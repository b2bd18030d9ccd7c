"""Maps: the stores that say which real server holds a mailbox.

Here is what everybody says of them. `choice` opens the one that the options name; every other
module is a store, and is imported only when that store is chosen.
"""

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from perdition.identity import Ends
from perdition.net import BadItem, ServerItem, parse_destination
from perdition.parameters import MOST_PORT, BadParameters, split
from perdition.protocols import decode

# What no name of a user, host or port has.
CONTROL = re.compile(r"[\x00-\x1f\x7f]")
HOST = re.compile(r"[^\s\x00-\x20\x7f/\[\];]{0,255}")
PORT = re.compile(r"(?:[A-Za-z0-9][A-Za-z0-9_.+-]{0,63})?")
SHOWN_LENGTH = 100
MOST_DESTINATIONS = 16


class MapFailed(Exception):
    """The map is out of order: nothing is known about whether it has the key."""


class Query(NamedTuple):
    """What is asked. Most stores look at the key alone.

    Attributes:
        key: the octets to look up.
        ends: address and port of the client and of ours that it reached; addresses are empty
            where nobody is connected.
        protocol: of the log-in, as the log has it: POP3, IMAP4S, ...
        user: the name, as the client typed it.
        password: what the client gave; not shown anywhere.
        attempt: which log-in of the connection it is, from 1.
        secure: the client's link: "plaintext", "ssl" or "starttls".
    """

    key: bytes
    ends: Ends = Ends("", 0, "", 0)
    protocol: str = ""
    user: str = ""
    password: bytes = b""
    attempt: int = 1
    secure: str = "plaintext"

    def __repr__(self) -> str:
        return f"Query(key={self.key!r}, user={self.user!r})"


class Answer(NamedTuple):
    """What a store has found that keeps user, server and port by themselves.

    Attributes:
        destinations: the real servers, to be tried in order; without any, or without host, the
            default ones.
        password: for the real server in the place of the client's own; None to use that. Not shown
            anywhere.
    """

    destinations: Sequence[ServerItem]
    password: bytes | None = None

    def __repr__(self) -> str:
        return f"Answer({list(self.destinations)!r})"


class Refusal(NamedTuple):
    """The store, which looks at passwords as well, does not let the user in.

    Attributes:
        reason: for the log.
    """

    reason: str


# Octets are a value as reference maps.md section 3 has it; None is a key that is not there.
Found = bytes | Answer | Refusal | None


class Map(Protocol):
    """A store of real servers. Several threads use one at the same time.

    Made by ``Store(option, settings)``, as root and before the workers are forked: connections to
    servers are opened when there is something to look up, and threads are started no sooner.

    Attributes:
        by_key_alone: whether equal keys have equal answers, whoever asks: these can be cached.
    """

    by_key_alone: bool

    def lookup(self, query: Query, /) -> Found:
        """The value of a key, None where there is none.

        Raises:
            MapFailed: the store is out of order; the text says which one, and why.
        """

    def close(self) -> None:
        """Let go of what it holds open."""


def tell_nobody(_trouble: str) -> None:
    """Where nobody wants to know."""


class MapSettings(NamedTuple):
    """What a store is told beside its own option.

    Attributes:
        delimiter: `domain_delimiter`, between user and host in a value.
        timeout: `map_timeout`: seconds that a look-up may take; 0 for no limit.
        connections: `map_connections`: most connections of a worker to the store's server.
        tell: is told, once, of trouble that does not keep the store from answering.
    """

    delimiter: str = "@"
    timeout: float = 10.0
    connections: int = 8
    tell: Callable[[str], None] = tell_nobody


def may_come_from_key(value: bytes, key: bytes) -> bool:
    """Whether a comma or semicolon of a value may have come there with the key.

    It would choose other servers than the operator wants, or how they are spoken to.
    """
    return any(each in value and each in key for each in (b",", b";"))


def read_value(value: bytes, delimiter: str, port: str = "") -> Answer:
    """Take a value apart (reference: maps.md section 3), or a list of them with commas between.

    Args:
        value: ``[user<delimiter>]host[:port][;key=value...]``; an IPv6 address with a port stands
            in brackets.
        delimiter: what stands between user and host.
        port: for those without one; empty for `outgoing_port`.

    Raises:
        MapFailed: it is nonsense; the text says which.
    """
    text = decode(value)
    pieces = [text] if "," in delimiter else text.split(",")
    if len(pieces) > MOST_DESTINATIONS:
        raise MapFailed(f"more than {MOST_DESTINATIONS} destinations: {shown(text)}")
    found = []
    for number, piece in enumerate(pieces):
        trimmed = piece.strip(" ")
        if not number and piece.startswith(" ") and delimiter in split(piece)[0]:
            # It is the first character of the user's name.
            trimmed = piece.rstrip(" ")
        if not trimmed:
            continue
        try:
            item = parse_destination(trimmed, delimiter, port)
        except BadItem as error:
            raise MapFailed(str(error)) from error
        except BadParameters as error:
            raise MapFailed(f"{shown(str(error))}: {shown(text)}") from error
        check_item(item, text)
        found.append(item)
    return Answer(found)


def check_item(item: ServerItem, text: str) -> None:
    """Check the parts of a destination.

    Args:
        item: the destination.
        text: what it comes from, for the message.

    Raises:
        MapFailed: one of them cannot be what it should.
    """
    if CONTROL.search(item.user):
        raise MapFailed(f"not the name of a user: {shown(text)}")
    if not HOST.fullmatch(item.host):
        raise MapFailed(f"not the name of a host: {shown(text)}")
    if not PORT.fullmatch(item.port) or (
        item.port.isdecimal() and not 0 < int(item.port) <= MOST_PORT
    ):
        where = text if item.port in text else f"{item.port}: {text}"
        raise MapFailed(f"not a port: {shown(where)}")


def shown(text: str) -> str:
    """The beginning of a value, for a message; whoever logs it escapes it."""
    return text if len(text) <= SHOWN_LENGTH else f"{text[:SHOWN_LENGTH]}..."
