"""SASL mechanisms that carry name and password: PLAIN (RFC 4616)."""

import base64
import binascii
import stringprep
import unicodedata

from perdition.protocols import Login, decode, encode


class BadResponse(Exception):
    """The client's response cannot be taken; the text says why (protocols.md section 4.2)."""


def prepare(name: str) -> str:
    """A name prepared by SASLprep (RFC 4013), as a query: unassigned code points are let through.

    Raises:
        BadResponse: it is not UTF-8, or has characters that are prohibited.
    """
    if name.isascii() and name.isprintable():
        return name
    mapped = "".join(
        " " if stringprep.in_table_c12(char) else char
        for char in name
        if not stringprep.in_table_b1(char)
    )
    normal = unicodedata.ucd_3_2_0.normalize("NFKC", mapped)
    prohibited = (
        stringprep.in_table_c12,
        stringprep.in_table_c21_c22,
        stringprep.in_table_c3,
        stringprep.in_table_c4,
        stringprep.in_table_c5,
        stringprep.in_table_c6,
        stringprep.in_table_c7,
        stringprep.in_table_c8,
        stringprep.in_table_c9,
    )
    if any(test(char) for char in normal for test in prohibited):
        raise BadResponse("Prohibited character in challenge, mate")
    right_to_left = [stringprep.in_table_d1(char) for char in normal]
    if any(right_to_left) and (
        any(stringprep.in_table_d2(char) for char in normal)
        or not (right_to_left[0] and right_to_left[-1])
    ):
        raise BadResponse("Prohibited character in challenge, mate")
    return normal


def take_plain(response: bytes) -> Login:
    """The log-in that a PLAIN response carries.

    Args:
        response: as it came, in base64.

    Raises:
        BadResponse: it is not what RFC 4616 asks for.
    """
    try:
        message = base64.b64decode(response, validate=True)
    except binascii.Error:
        message = b""
    if not message:
        raise BadResponse("Invalid base64 encoded challenge, mate")
    authorisation, *rest = message.split(b"\0")
    if not rest:
        raise BadResponse("Challenge has no authentication id, mate")
    if not rest[0]:
        raise BadResponse("Empty authentication id, mate")
    if len(rest) == 1:
        raise BadResponse("Challenge has no password, mate")
    user, password, *garbage = rest
    if garbage:
        raise BadResponse("Trailing garbage in challenge, mate")
    name = prepare(decode(user))
    if not name:
        raise BadResponse("Empty authentication id, mate")
    return Login(name, password, prepare(decode(authorisation)) if authorisation else None)


def say_plain(login: Login) -> bytes:
    """The PLAIN response for a log-in, in base64."""
    parts = encode(login.authorisation or ""), encode(login.user), login.password
    return base64.b64encode(b"\0".join(parts))
