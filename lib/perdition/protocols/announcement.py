"""What an IMAP server announces: its capabilities, in a response or in the code of one."""

import functools
import re
from typing import NamedTuple

# resp-text-code = "[" capability-data "]", in the greeting
CAPABILITY_CODE = re.compile(rb"OK \[CAPABILITY ([^]]*)\]", re.IGNORECASE)
CAPABILITY_RESPONSE = re.compile(rb"\* CAPABILITY(?: (.*))?$", re.IGNORECASE | re.DOTALL)
# Longer lists of capabilities than any server has are not kept.
REMEMBERED_LIMIT = 2048


class Announcement(NamedTuple):
    """What a server announces.

    Attributes:
        words: its capabilities, in upper case.
        shown: the same as the client is told, as they are written: without UNAUTHENTICATE (RFC
            8437), for the session would stay the first user's.
        has_unauthenticate: that is one of them.
    """

    words: frozenset[bytes]
    shown: bytes
    has_unauthenticate: bool


# Of a server that does not say: the client is told nothing, and looked after.
UNKNOWN = Announcement(frozenset(), b"", has_unauthenticate=True)


def announcement(text: bytes) -> Announcement:
    """Read a list of capabilities; servers say the same again and again."""
    return _remembered(text) if len(text) <= REMEMBERED_LIMIT else _announcement(text)


@functools.lru_cache(maxsize=256)
def _remembered(text: bytes) -> Announcement:
    return _announcement(text)


def _announcement(text: bytes) -> Announcement:
    words = frozenset(text.upper().split(b" "))
    has_unauthenticate = b"UNAUTHENTICATE" in words
    shown = text
    if has_unauthenticate:
        shown = b" ".join(word for word in text.split(b" ") if word.upper() != b"UNAUTHENTICATE")
    return Announcement(words, shown, has_unauthenticate)
