"""POSIX extended regular expressions, those of the C library, through ctypes.

Python's own are not the same: they take the first alternative that matches and not the longest
match, and other texts are an error to them. The popmap.re of a site is to mean what it meant.
"""

import ctypes
import functools
from typing import Any

# regex.h.
EXTENDED, NEWLINE = 1, 4
GROUPS = 10
# More than any C library's regex_t has.
SIZE = 512
MESSAGE_SIZE = 256
# locale.h: what characters are.
CTYPE_MASK = 1


class PatternError(Exception):
    """A text is no regular expression; the message is the C library's."""


@functools.cache
def library() -> Any:
    """The C library, told the types of what is used of it.

    It keeps the interpreter's lock: a match takes less time than to let go of it and get it back.
    """
    libc = ctypes.PyDLL(None)
    pointer, text, integer = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int
    for name, result, *arguments in (
        ("regcomp", integer, pointer, text, integer),
        ("regexec", integer, pointer, text, ctypes.c_size_t, pointer, integer),
        ("regerror", ctypes.c_size_t, integer, pointer, pointer, ctypes.c_size_t),
        ("regfree", None, pointer),
        ("newlocale", pointer, integer, text, pointer),
        ("uselocale", pointer, pointer),
    ):
        function = getattr(libc, name)
        function.restype, function.argtypes = result, arguments
    return libc


@functools.cache
def match_type() -> Any:
    """regmatch_t, ten of them: begin and end of each group, of a type that differs."""
    is_glibc = hasattr(library(), "gnu_get_libc_version")
    return (ctypes.c_int if is_glibc else ctypes.c_long) * (2 * GROUPS)


@functools.cache
def octets() -> Any:
    """The locale in which a character is an octet, as it is for the original."""
    return library().newlocale(CTYPE_MASK, b"C", None)


class Pattern:
    """A regular expression, for one thread at a time."""

    def __init__(self, text: bytes) -> None:
        """Compile a text.

        Raises:
            PatternError: it is no regular expression.
        """
        self._libc = library()
        self._compiled = ctypes.create_string_buffer(SIZE)
        # What a character is, is settled here and not at a match.
        before = self._libc.uselocale(octets())
        try:
            number = self._libc.regcomp(self._compiled, text, EXTENDED | NEWLINE)
        finally:
            self._libc.uselocale(before)
        if number:
            message = ctypes.create_string_buffer(MESSAGE_SIZE)
            self._libc.regerror(number, self._compiled, message, MESSAGE_SIZE)
            raise PatternError(message.value.decode("utf-8", "replace"))
        self._match = match_type()()
        # Arrays take longer to be handed over than numbers.
        self._places = ctypes.addressof(self._compiled), ctypes.addressof(self._match)

    def search(self, key: bytes) -> list[tuple[int, int]] | None:
        """Where it matches first, and there longest.

        Args:
            key: without NUL.

        Returns:
            Begin and end of the match, and of the groups 1 to 9: -1 and -1 of one that took no
            part. None where it does not match.
        """
        compiled, match = self._places
        if self._libc.regexec(compiled, key, GROUPS, match, 0):
            return None
        return list(zip(self._match[::2], self._match[1::2], strict=True))

    def close(self) -> None:
        """Let go of its memory; it is not used any more."""
        self._libc.regfree(self._compiled)
