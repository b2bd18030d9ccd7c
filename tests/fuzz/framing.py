"""Where the lines of what was said end, as whoever hears it finds them."""

import re
from typing import NamedTuple

LITERAL = re.compile(rb"\{(\d+)(\+?)\}\Z")
BREAKS = re.compile(rb"[\r\n]")


class Line(NamedTuple):
    """A line: its pieces, and the octets of the literals between them."""

    pieces: tuple[bytes, ...]
    literals: tuple[bytes, ...]
    is_whole: bool = True


def lines(said: bytes, *, literals: bool) -> list[Line]:
    """The lines that were said; the last one is not whole where a literal lacks octets.

    Args:
        said: all of it.
        literals: whether the protocol has any.
    """
    found: list[Line] = []
    while said:
        pieces: list[bytes] = []
        octets: list[bytes] = []
        while True:
            piece, end, said = said.partition(b"\r\n")
            assert end, "said without an end of line"
            assert not BREAKS.search(piece), f"a line with a break in it: {piece!r}"
            pieces.append(piece)
            ahead = LITERAL.search(piece) if literals else None
            if ahead is None:
                found.append(Line(tuple(pieces), tuple(octets)))
                break
            size = int(ahead[1])
            octets.append(said[:size])
            if len(said) < size + 2:
                found.append(Line(tuple(pieces), tuple(octets), is_whole=False))
                return found
            said = said[size:]
    return found
