"""libnsl, as much of it as the nis map needs, through ctypes.

Python's own module `nis` is gone (PEP 594). In libnsl 1 and 2 each call of `yp_match` makes a
client of its own, so that several threads can call it at the same time.
"""

import ctypes
import functools
from typing import Any

from perdition.maps.libc import release

# The names that the library has had since it is not glibc's any more.
NAMES = ("libnsl.so.2", "libnsl.so.3")
# rpcsvc/ypclnt.h
SUCCESS, NO_KEY, INTERNAL = 0, 5, 6
# rpcsvc/yp_prot.h: YPMAXRECORD, the longest key of the protocol.
LONGEST_KEY = 1024


class NisError(Exception):
    """The library is missing, or it says that a call has failed; the text has its reason."""


@functools.cache
def library() -> Any:
    """The library, told the types of what is used of it.

    Raises:
        NisError: it is not there.
    """
    nsl = first_of(NAMES)
    integer, text = ctypes.c_int, ctypes.c_char_p
    pointer, number = ctypes.POINTER(ctypes.c_void_p), ctypes.POINTER(integer)
    for name, result, *arguments in (
        ("yp_get_default_domain", integer, ctypes.POINTER(text)),
        ("yp_match", integer, text, text, text, integer, pointer, number),
        ("yperr_string", text, integer),
    ):
        function = getattr(nsl, name)
        function.restype, function.argtypes = result, arguments
    return nsl


def first_of(names: tuple[str, ...]) -> Any:
    """The first library of these names that is there."""
    reasons = []
    for name in names:
        try:
            return ctypes.CDLL(name)
        except OSError as error:
            reasons.append(str(error))
    raise NisError(f"{reasons[0]} (Debian: install libnsl2)")


def default_domain() -> bytes:
    """The NIS domain of this machine.

    Raises:
        NisError: it has none.
    """
    domain = ctypes.c_char_p()
    check(library().yp_get_default_domain(domain))
    if not domain.value:
        raise NisError("the domain name is not set")
    return domain.value


def match(domain: bytes, name: bytes, key: bytes) -> bytes | None:
    """Look a key up; this may take longer than a minute.

    Args:
        domain: the NIS domain.
        name: of the map.
        key: what to look up.

    Returns:
        The value, None where the map does not have the key.

    Raises:
        NisError: nothing is known about whether it has.
    """
    if not key or key.startswith(b"\0") or len(key) > LONGEST_KEY:
        # The library calls that wrong, and no map has such keys.
        return None
    value, size = ctypes.c_void_p(), ctypes.c_int()
    status = library().yp_match(domain, name, key, len(key), value, size)
    if status == NO_KEY:
        return None
    check(status)
    try:
        return ctypes.string_at(value, size.value)
    finally:
        release()(value)


def check(status: int) -> None:
    """Check what a function of the library has returned.

    Raises:
        NisError: it is not SUCCESS.
    """
    if status != SUCCESS:
        text = library().yperr_string(status).decode(errors="replace")
        if status == INTERNAL:
            # So it also says where nobody has told this machine which server to ask.
            text += ", or ypbind is not running"
        raise NisError(text)
