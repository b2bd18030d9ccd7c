"""UNAUTHENTICATE is found however it comes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdition.relay.guard import Forbidden, Guard


def sees(protocol: str, *pieces: bytes) -> bool:
    guard = Guard(protocol)
    try:
        for piece in pieces:
            guard.look(memoryview(piece))
    except Forbidden:
        return True
    return False


@pytest.mark.parametrize(
    ("protocol", "text", "is_seen"),
    [
        ("IMAP4", b"a UNAUTHENTICATE\r\n", True),
        ("IMAP4", b"a NOOP\r\nb unauthenticate\n", True),
        ("IMAP4", b"a" * 20000 + b" UNAUTHENTICATE\r\n", True),
        ("IMAP4", b"a UNAUTHENTICATE" + b" " * 300 + b"\r\n", True),
        ("IMAP4", b"a APPEND x {10}\r\nb UNAUTHENTICATE\r\n", True),
        ("IMAP4", b"UNAUTHENTICATE\r\n", False),
        ("IMAP4", b"a UNAUTHENTICATED\r\nb SEARCH TEXT UNAUTHENTICATE\r\n", False),
        ("IMAP4", b"words of a message about UNAUTHENTICATE\r\n", False),
        ("MANAGESIEVE", b"NOOP\r\nUnauthenticate\r\n", True),
        ("MANAGESIEVE", b"\tUNAUTHENTICATE\r\n", True),
        ("MANAGESIEVE", b'NOOP "x" UNAUTHENTICATE\r\n', True),
        ("MANAGESIEVE", b"\0UNAUTHENTICATE \t\r\n", True),
        ("MANAGESIEVE", b"UNAUTHENTICATE" + b" \t" * 200 + b"\r\r\n", True),
        *(("MANAGESIEVE", each + b"UNAUTHENTICATE\r\n", True) for each in (b"_", b"-", b".", b"5")),
        ("MANAGESIEVE", b"{3+}\r\nabcUNAUTHENTICATE\r\n", True),
        ("MANAGESIEVE", b"UNAUTHENTICATED\r\nUNAUTHENTICATE x\r\n", False),
    ],
)
def test_the_command_is_known_from_what_looks_like_it(
    protocol: str, text: bytes, is_seen: bool
) -> None:
    assert sees(protocol, text) == is_seen
    assert sees(protocol, *(text[at : at + 1] for at in range(len(text)))) == is_seen


@given(
    st.lists(st.sampled_from([b"a", b" ", b"UNAUTHENTICATE", b"\r\n", b"\n", b"x" * 300])),
    st.integers(1, 40),
)
def test_chunking_never_shows(parts: list[bytes], size: int) -> None:
    text = b"".join(parts)
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    # A line that is cut can look like a shorter one, never the other way round.
    assert sees("IMAP4", *pieces) >= sees("IMAP4", text)
