"""How a log-in is said to an IMAP server: which ways there are, and which is the best one."""

import re

from perdition.protocols import Login, encode

# Printable ASCII: servers differ in what else they take in a quoted string.
QUOTABLE = re.compile(rb"[\x20-\x7e]*")
# Name and password together, in octets: Dovecot 2.3 reads LOGIN into 1024, AUTHENTICATE into 8192.
LOGIN_LIMIT = 512
# RFC 7888 section 5: what LITERAL- lets be sent without being waited for.
LITERAL_MINUS_LIMIT = 4096


def plain_is_better(login: Login, words: frozenset[bytes], compat: bool, /) -> bool:
    """Whether AUTHENTICATE PLAIN is to be used rather than LOGIN.

    It is where LOGIN cannot say it: an authorisation identity, what is not ASCII (RFC 3501 has
    LOGIN in ASCII alone), or a long password, such as a token; and where LOGIN would have to wait,
    or be in quoted strings, and this one not.
    """
    if login.authorisation is not None:
        return True
    if compat:
        return False
    if b"LOGINDISABLED" in words or not (login.user.isascii() and login.password.isascii()):
        return True
    if len(login.user) + len(login.password) > LOGIN_LIMIT:
        return True
    if may_send_at_once(login, words):
        return False
    return b"SASL-IR" in words or not may_quote(login)


def may_send_at_once(login: Login, words: frozenset[bytes]) -> bool:
    """Whether the literals of LOGIN need not be waited for (RFC 7888)."""
    if b"LITERAL+" in words:
        return True
    longest = max(len(encode(login.user)), len(login.password))
    return b"LITERAL-" in words and longest <= LITERAL_MINUS_LIMIT


def may_quote(login: Login) -> bool:
    """Whether LOGIN can be said in quoted strings: what is in them is ASCII, and no controls."""
    return QUOTABLE.fullmatch(encode(login.user) + login.password) is not None
