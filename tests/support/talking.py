"""Driving dialogues without a socket."""

from collections.abc import Iterable

from perdition.protocols import T, Talk, imap4, imap4_server, managesieve, pop3
from perdition.protocols.wire import Wire

CLIENTS = {"pop3": pop3.ClientSide, "imap4": imap4.ClientSide, "sieve": managesieve.ClientSide}
SERVERS = {
    "pop3": pop3.ServerSide,
    "imap4": imap4_server.ServerSide,
    "sieve": managesieve.ServerSide,
}
CAPABILITY = {"pop3": "UIDL.USER", "imap4": "IMAP4 IMAP4REV1", "sieve": '"SASL" "PLAIN"'}


class Lacking(Exception):
    """The dialogue waits for more than there was."""


def play(talk: Talk[T], wire: Wire, chunks: Iterable[bytes]) -> T:
    """What the dialogue returns when these octets arrive, piece by piece."""
    arriving = iter(chunks)
    while True:
        try:
            next(talk)
        except StopIteration as finished:
            result: T = finished.value
            return result
        piece = next(arriving, None)
        if piece is None:
            raise Lacking
        wire.feed(piece)


def said(wire: Wire) -> bytes:
    """Everything that was said, pauses shown as <3>."""
    parts = []
    while wire.unsent:
        if wire.take_pause():
            parts.append(b"<3>")
        else:
            parts.append(wire.take_unsent())
    return b"".join(parts)


def octets(text: bytes) -> list[bytes]:
    """Text in pieces of one octet."""
    return [text[at : at + 1] for at in range(len(text))]
