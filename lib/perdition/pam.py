"""PAM, as much of it as local authentication needs, through ctypes.

The modules that PAM loads may block, need root, and are not safe in threads: see
`server.authenticator`, whose processes use this once each.
"""

import ctypes
import functools
from typing import Any, NamedTuple

# _pam_types.h.
SUCCESS, CONV_ERR, BUF_ERR = 0, 19, 5
SERVICE_ERR, AUTHINFO_UNAVAIL, ABORT, MODULE_UNKNOWN = 3, 9, 26, 28
RHOST, RUSER = 4, 8
PROMPT_ECHO_OFF, PROMPT_ECHO_ON = 1, 2
MOST_MESSAGES = 32
# What says nothing about name and password. System errors are not among it: they are what
# pam_exec makes of a program that says no.
OUT_OF_ORDER = frozenset({SERVICE_ERR, BUF_ERR, AUTHINFO_UNAVAIL, ABORT, MODULE_UNKNOWN})


class PamFailed(Exception):
    """PAM is out of order: nothing is known of name and password."""


class Message(ctypes.Structure):
    """struct pam_message."""

    _fields_ = (("style", ctypes.c_int), ("text", ctypes.c_char_p))


class Response(ctypes.Structure):
    """struct pam_response; its text is freed by the module that asked."""

    _fields_ = (("text", ctypes.c_void_p), ("code", ctypes.c_int))


CONVERSE = ctypes.CFUNCTYPE(
    ctypes.c_int,
    ctypes.c_int,
    ctypes.POINTER(ctypes.POINTER(Message)),
    ctypes.POINTER(ctypes.POINTER(Response)),
    ctypes.c_void_p,
)


class Conversation(ctypes.Structure):
    """struct pam_conv: the function that answers PAM's questions."""

    _fields_ = (("function", CONVERSE), ("data", ctypes.c_void_p))


class Identity(NamedTuple):
    """Who wants to be let in.

    Attributes:
        user: the name.
        password: the octets of the password; not shown anywhere.
        host: the client's address, empty where it is not known.
    """

    user: bytes
    password: bytes
    host: bytes

    def __repr__(self) -> str:
        return f"Identity(user={self.user!r}, host={self.host!r})"


@functools.cache
def library() -> Any:
    """The library, told the types of what is used of it.

    Raises:
        PamFailed: it is not there.
    """
    try:
        pam = ctypes.CDLL("libpam.so.0")
    except OSError as error:
        raise PamFailed(f"{error} (Debian: install libpam0g)") from error
    text, pointer, number = ctypes.c_char_p, ctypes.c_void_p, ctypes.c_int
    for name, result, *arguments in (
        ("pam_start", number, text, text, ctypes.POINTER(Conversation), ctypes.POINTER(pointer)),
        ("pam_set_item", number, pointer, number, text),
        ("pam_authenticate", number, pointer, number),
        ("pam_acct_mgmt", number, pointer, number),
        ("pam_end", number, pointer, number),
        ("pam_strerror", text, pointer, number),
    ):
        function = getattr(pam, name)
        function.restype, function.argtypes = result, arguments
    return pam


@functools.cache
def memory() -> Any:
    """The C library, for what PAM's modules free."""
    libc = ctypes.CDLL(None)
    libc.calloc.restype, libc.calloc.argtypes = ctypes.c_void_p, (ctypes.c_size_t, ctypes.c_size_t)
    libc.strdup.restype, libc.strdup.argtypes = ctypes.c_void_p, (ctypes.c_char_p,)
    return libc


def answers(password: bytes) -> Any:
    """A conversation that gives the password to every question (reference: process.md 9)."""

    def converse(count: int, messages: Any, responses: Any, _data: object) -> int:
        if not 0 < count <= MOST_MESSAGES:
            return CONV_ERR
        place = memory().calloc(count, ctypes.sizeof(Response))
        if not place:
            return BUF_ERR
        given = ctypes.cast(place, ctypes.POINTER(Response))
        for number in range(count):
            if messages[number].contents.style in (PROMPT_ECHO_OFF, PROMPT_ECHO_ON):
                given[number].text = memory().strdup(password)
        responses[0] = given
        return SUCCESS

    return CONVERSE(converse)


def authenticate(service: str, identity: Identity) -> str:
    """Ask PAM whether somebody is to be let in: pam_authenticate and pam_acct_mgmt.

    Args:
        service: the name of the file in /etc/pam.d.
        identity: who it is.

    Returns:
        Why not, in PAM's words; empty if so.

    Raises:
        PamFailed: PAM does not know.
    """
    if b"\0" in identity.user + identity.password:
        return "a name or password with a NUL"
    pam = library()
    handle = ctypes.c_void_p()
    conversation = Conversation(answers(identity.password), None)
    status = pam.pam_start(service.encode(), identity.user, conversation, handle)
    if status != SUCCESS:
        raise PamFailed(f"pam_start: {status}")
    try:
        status = ask(pam, handle, identity)
        reason = "" if status == SUCCESS else why(pam, handle, status)
    finally:
        pam.pam_end(handle, status)
    if status in OUT_OF_ORDER:
        raise PamFailed(f"service {service}: {reason}")
    return reason


def why(pam: Any, handle: ctypes.c_void_p, status: int) -> str:
    """PAM's words for a failure, which are never empty: that would be a success."""
    text: bytes = pam.pam_strerror(handle, status) or b""
    return text.decode("utf-8", "replace") or f"PAM's status {status}"


def ask(pam: Any, handle: ctypes.c_void_p, identity: Identity) -> int:
    """The steps between start and end, until one is not a success."""
    items = [(RHOST, identity.host), (RUSER, identity.user)]
    for name, value in items[0 if identity.host else 1 :]:
        if status := pam.pam_set_item(handle, name, value):
            return int(status)
    return int(pam.pam_authenticate(handle, 0) or pam.pam_acct_mgmt(handle, 0))
