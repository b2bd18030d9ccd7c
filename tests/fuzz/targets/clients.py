"""What clients say before they are logged in, in each protocol."""

import base64
from functools import partial
from typing import NamedTuple

from fuzz import framing
from fuzz.target import Choices, Target
from fuzz.targets.mechanisms import secrets_stay
from perdition import protocols
from perdition.protocols import (
    ClientSide,
    Login,
    ProtocolError,
    Terms,
    TlsWanted,
    Verdict,
    imap4,
    managesieve,
    pop3,
    sasl,
)
from perdition.protocols.wire import LineTooLong, Wire
from support.talking import CAPABILITY, Lacking, play

SIDES = {"pop3": pop3.ClientSide, "imap4": imap4.ClientSide, "sieve": managesieve.ClientSide}
# Log-ins, each of which is refused, before the octets are left alone.
MOST_LOGINS = 6
REFUSED = Verdict(False, protocols.REFUSED, b"NO [EXPIRED] no", code=b"EXPIRED")


class Setting(NamedTuple):
    """What is decided before the client speaks."""

    terms: Terms
    in_tls: bool
    certified: str | None


class Ending(NamedTuple):
    """What came of it."""

    results: tuple[object, ...]
    said: bytes
    unread: bytes


def setting(name: str, flags: int) -> Setting:
    """The terms that a number stands for."""
    bits = [bool(flags & 1 << place) for place in range(8)]
    terms = Terms(
        CAPABILITY[name],
        "You are in",
        "0123abcd",
        tls_listen=bits[0],
        tls_listen_force=bits[0] and bits[1],
        login_disabled=bits[2] and bits[1],
        server_resp_line=bits[3],
        mechanisms=() if bits[4] else sasl.MECHANISMS,
        grows=not bits[5],
        compat=bits[5],
    )
    return Setting(terms, bits[6], "carl" if bits[7] else None)


def listen(name: str, given: Setting, chunks: list[bytes]) -> Ending:
    """Have a client say these octets."""
    wire = Wire()
    side: ClientSide = SIDES[name](wire, given.terms)
    side.greet("host.example")
    if given.in_tls:
        side.tls_started(given.certified)
    arriving = iter(chunks)
    results: list[object] = []
    for _ in range(MOST_LOGINS):
        try:
            results.append(play(side.take_login(), wire, arriving))
        except (LineTooLong, ProtocolError) as error:
            # Nothing is read after that.
            return Ending((*results, type(error)), told(wire), b"")
        except Lacking:
            break
        match results[-1]:
            case Login() as login:
                secrets_stay(login)
                side.refuse(REFUSED)
            case TlsWanted():
                side.tls_started(given.certified)
                break
            case _:
                break
    return Ending(tuple(results), told(wire), wire.take_unread() + b"".join(arriving))


def told(wire: Wire) -> bytes:
    """What was said, without pauses."""
    return b"".join(each + b"\r\n" for each in wire.unsent if each is not None)


def client(name: str, data: bytes) -> None:
    """The same comes of it, however the octets arrive; and answers stay in their lines."""
    choices = Choices(data)
    given = setting(name, choices.octet())
    size = 1 + choices.octet() % 40
    whole = listen(name, given, [choices.rest])
    assert listen(name, given, choices.pieces(size)) == whole
    framing.lines(whole.said, literals=name != "pop3")


def b64(octets: bytes) -> bytes:
    return base64.b64encode(octets)


PLAIN = b64(b"\0ann\0sesame")
START = b"\x40\3"
TARGETS = [
    Target(
        "client-pop3",
        partial(client, "pop3"),
        (),
        [
            b"\0\0CAPA\r\nUSER ann\r\nPASS sesame\r\nQUIT\r\n",
            START + b"AUTH\r\nAUTH PLAIN\r\n" + PLAIN + b"\r\nAUTH LOGIN\r\n*\r\n",
            START + b"AUTH PLAIN " + PLAIN + b"\r\n",
            b"\1\0STLS\r\nUSER eve\r\n",
        ],
    ),
    Target(
        "client-imap4",
        partial(client, "imap4"),
        (),
        [
            b"\0\0a CAPABILITY\r\nb LOGIN ann sesame\r\nc LOGOUT\r\n",
            b'\0\1a LOGIN {3}\r\nann "se\\"s\\\\ame"\r\nb LOGIN {3+}\r\nann {1+}\r\n\n\r\n',
            START + b"a AUTHENTICATE PLAIN " + PLAIN + b"\r\nb AUTHENTICATE LOGIN\r\n*\r\n",
            START + b"a AUTHENTICATE LOGIN\r\n" + b64(b"ann") + b"\r\n" + b64(b"x") + b"\r\n",
            b"\1\0a STARTTLS\r\nb LOGIN eve x\r\n",
        ],
    ),
    Target(
        "client-sieve",
        partial(client, "sieve"),
        (),
        [
            b'\0\0CAPABILITY\r\nNOOP "x"\r\nLOGOUT\r\n',
            b'\0\1AUTHENTICATE "PLAIN" {20+}\r\n' + PLAIN + b"\r\nNOOP {2+}\r\n\r\n\r\n",
            START + b'AUTHENTICATE "PLAIN"\r\n"' + PLAIN + b'"\r\nAUTHENTICATE "LOGIN"\r\n"*"\r\n',
            b"\1\0STARTTLS\r\nAUTHENTICATE\r\n",
        ],
    ),
]
