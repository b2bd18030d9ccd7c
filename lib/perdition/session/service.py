"""What sessions are given, and what they give to the relay."""

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from perdition.backends import Backends
from perdition.identity import NameRules
from perdition.logs import Log, Who
from perdition.maps import Map
from perdition.protocols import ClientSide, ServerSide, imap4, managesieve, pop3
from perdition.session.channel import Channel
from perdition.tls.handshakes import OutgoingTls


class Closed(Exception):
    """The session is over, and has said why."""


class Dialogues(NamedTuple):
    """The two sides of a protocol."""

    client: Callable[..., ClientSide]
    server: Callable[..., ServerSide]


class Modes(NamedTuple):
    """Where TLS is spoken, and how it begins: `ssl_mode` taken apart."""

    ssl_listen: bool = False
    tls_listen: bool = False
    tls_listen_force: bool = False
    ssl_outgoing: bool = False
    tls_outgoing: bool = False
    tls_outgoing_force: bool = False


DIALOGUES = {
    "POP3": Dialogues(pop3.ClientSide, pop3.ServerSide),
    "IMAP4": Dialogues(imap4.ClientSide, imap4.ServerSide),
    "MANAGESIEVE": Dialogues(managesieve.ClientSide, managesieve.ServerSide),
}


@dataclass(frozen=True, slots=True)
class Service:
    """What all sessions of a listener share; nothing in it changes.

    Attributes:
        protocol: the protocol's name for the log.
        dialogues: how it is spoken.
        dialogue: what both sides of it are told: capability, ok_line, token, ...
        log: where lines go.
        rules: what is done to user names.
        find: the map.
        backends: the real servers.
        listen_tls: makes the client's socket a TLS one.
        outgoing_tls: TLS to real servers; None where it is not spoken.
        modes: where TLS is spoken.
        host: the name of one of our addresses.
        options: values of options that are used as they are.
    """

    protocol: str
    dialogues: Dialogues
    dialogue: dict[str, Any]
    log: Log
    rules: NameRules
    find: Map
    backends: Backends
    listen_tls: Callable[[Any], ssl.SSLSocket] | None
    outgoing_tls: OutgoingTls | None
    modes: Modes
    banner: Callable[[str], str]
    host: Callable[[str], str]
    options: Any


@dataclass(frozen=True, slots=True)
class Established:
    """A session that is logged in: for the relay.

    Attributes:
        client, server: the connections to both.
        to_server, to_client: octets that came early from the other side.
        who: whose session it is.
        auth_line: the line of the log-in, to be logged again.
    """

    client: Channel
    server: Channel
    to_server: bytes
    to_client: bytes
    who: Who
    auth_line: str
