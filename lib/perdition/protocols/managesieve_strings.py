"""Strings of ManageSieve (RFC 5804 section 4)."""

import re

QUOTED_LIMIT = 1024
# quoted = <"> *QUOTED-CHAR <">; string = quoted / literal
QUOTED = re.compile(rb'"((?:[^"\\]|\\.)*)"')
# In front of the octets of a literal: no atom of a line begins with it.
LITERAL_MARK = b"\n"


def string(argument: bytes) -> bytes | None:
    """The octets of a string, None for an atom."""
    if argument.startswith(LITERAL_MARK):
        return argument[1:]
    if quoted := QUOTED.fullmatch(argument):
        return re.sub(rb"\\(.)", rb"\1", quoted[1])
    return None


def quote(octets: bytes, literal: bytes = b"{%d}") -> bytes:
    """A string: quoted, or as a literal where a quoted string cannot hold it (RFC 5804, 4)."""
    if len(octets) > QUOTED_LIMIT or re.search(rb"[\0\r\n]", octets):
        return literal % len(octets) + b"\r\n" + octets
    return b'"' + re.sub(rb'(["\\])', rb"\\\1", octets) + b'"'
