"""ID (RFC 2971): what programs say of themselves."""

import re

from perdition.protocols import ProtocolError, Talk
from perdition.protocols.client_identity import Pair, Pairs
from perdition.protocols.wire import LINE_LIMIT, Wire

# RFC 2971 section 3.3: most pairs, and most octets of a field and of a value.
PAIRS_LIMIT, FIELD_LIMIT, VALUE_LIMIT = 30, 30, 1024
# Longer values are not handed on: there are servers that close the connection then.
HANDED_ON_LIMIT = 255
# The list: id_params_list = "(" #(string SPACE nstring) ")" / nil
NIL = re.compile(rb"NIL(?![^ )])", re.IGNORECASE)
QUOTED = re.compile(rb'"((?:[^"\\]|\\["\\])*)"')
LITERAL = re.compile(rb"\{(\d{1,10})(\+?)\}$")
# What can stand between quotes, on a line.
QUOTABLE = re.compile(rb"[^\0\r\n\x80-\xff]*")


class BadList(Exception):
    """It is not a list of RFC 2971.

    Attributes:
        rest: what stands on the line that was read last, from there on.
    """

    def __init__(self, rest: bytes) -> None:
        super().__init__()
        self.rest = rest


def take_list(wire: Wire, text: bytes) -> Talk[Pairs]:
    """Read the argument of ID.

    Args:
        wire: the client's.
        text: what stands behind ID on its line.

    Raises:
        BadList: it is none that is allowed.
        ProtocolError: a literal that does not wait for us is too long to be read over.
    """
    if text.upper() == b"NIL":
        return ()
    if not text.startswith(b"("):
        raise BadList(text)
    text = text[1:]
    pairs: list[Pair] = []
    while not text.startswith(b")"):
        if pairs:
            text = _after_space(text)
        field, text = yield from _take_string(wire, text, FIELD_LIMIT)
        text = _after_space(text)
        if nil := NIL.match(text):
            value, text = None, text[nil.end() :]
        else:
            value, text = yield from _take_string(wire, text, VALUE_LIMIT)
        pairs.append((field, value))
        if len(pairs) > PAIRS_LIMIT:
            raise BadList(text)
    if text != b")":
        raise BadList(text)
    return tuple(pairs)


def handed_on(pairs: Pairs) -> Pairs:
    """What of a client's list real servers get: nothing that only proxies may say."""
    return tuple(
        (field, value)
        for field, value in pairs
        if not field.lower().startswith(b"x-")
        and QUOTABLE.fullmatch(field)
        and (value is None or (len(value) <= HANDED_ON_LIMIT and QUOTABLE.fullmatch(value)))
    )


def say_list(pairs: Pairs) -> bytes:
    """The argument of ID, from pairs that can be quoted; those over the limit are left out."""
    parts = []
    for field, value in pairs[:PAIRS_LIMIT]:
        parts += [quote(field), b"NIL" if value is None else quote(value)]
    return b"(" + b" ".join(parts) + b")" if parts else b"NIL"


def _take_string(wire: Wire, text: bytes, limit: int) -> Talk[tuple[bytes, bytes]]:
    """The string at the start of text, and what follows it on its line."""
    if literal := LITERAL.fullmatch(text):
        size = int(literal[1])
        if size > limit:
            if literal[2]:
                raise ProtocolError("literal too long")
            raise BadList(text)
        if not literal[2]:
            wire.say(b"+ OK ready for additional input")
        octets = yield from wire.read_exactly(size)
        return octets, (yield from wire.read_line(LINE_LIMIT))
    quoted = QUOTED.match(text)
    if not quoted:
        raise BadList(text)
    string = re.sub(rb'\\(["\\])', rb"\1", quoted[1])
    if len(string) > limit:
        raise BadList(text)
    return string, text[quoted.end() :]


def _after_space(text: bytes) -> bytes:
    if not text.startswith(b" "):
        raise BadList(text)
    return text[1:]


def quote(octets: bytes) -> bytes:
    """A quoted string, of octets that may be in one."""
    return b'"' + re.sub(rb'(["\\])', rb"\\\1", octets) + b'"'
