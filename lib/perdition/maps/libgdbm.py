"""libgdbm, as much of it as the gdbm map and makegdbm need, through ctypes.

Not through `dbm.gnu`: many a Python is built without it (Debian has it in a package of its own),
it opens files by name alone, and holds a lock as long as they are open. The library itself is on
nearly every Linux.
"""

import ctypes
import functools
import os
from collections.abc import Iterator
from typing import Any

from perdition.maps.libc import release

# gdbm.h: how a file is opened.
READER, NEWDB, NOLOCK, CLOERROR = 0x000, 0x003, 0x040, 0x400
INSERT = 0
ITEM_NOT_FOUND = 15


class GdbmError(Exception):
    """The library's reason and the system's, as in ``File open error: Permission denied``."""

    @property
    def why(self) -> str:
        """The reasons, without the system's where it has none: the library has found the fault."""
        return str(self).removesuffix(f": {os.strerror(0)}")


class Datum(ctypes.Structure):
    """gdbm.h: octets, and how many. Those that the library returns are ours to free."""

    _fields_ = (("pointer", ctypes.c_void_p), ("size", ctypes.c_int))


@functools.cache
def library() -> Any:
    """The library, told the types of what is used of it.

    Raises:
        GdbmError: it is not there.
    """
    try:
        gdbm = ctypes.CDLL("libgdbm.so.6", use_errno=True)
    except OSError as error:
        raise GdbmError(f"{error} (Debian: install libgdbm6)") from error
    integer, text, handle = ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p
    for name, result, *arguments in (
        ("gdbm_fd_open", handle, integer, text, integer, integer, handle),
        ("gdbm_close", integer, handle),
        ("gdbm_fetch", Datum, handle, Datum),
        ("gdbm_store", integer, handle, Datum, Datum, integer),
        ("gdbm_firstkey", Datum, handle),
        ("gdbm_nextkey", Datum, handle, Datum),
        ("gdbm_count", integer, handle, ctypes.POINTER(ctypes.c_ulonglong)),
        ("gdbm_errno_location", ctypes.POINTER(integer)),
        ("gdbm_strerror", text, integer),
    ):
        function = getattr(gdbm, name)
        function.restype, function.argtypes = result, arguments
    return gdbm


class File:
    """An open GDBM file, for one thread at a time."""

    def __init__(self, descriptor: int, flags: int) -> None:
        """Open what a descriptor is open on; from now on the descriptor is the library's.

        Args:
            descriptor: is closed with the file, and where that cannot be opened.
            flags: READER or NEWDB, perhaps NOLOCK.

        Raises:
            GdbmError: the library is missing, or the file is none of its.
        """
        try:
            self._gdbm = library()
        except GdbmError:
            os.close(descriptor)
            raise
        ctypes.set_errno(0)
        self._handle = self._gdbm.gdbm_fd_open(descriptor, b"", 0, flags | CLOERROR, None)
        if not self._handle:
            raise self._error()

    def close(self) -> None:
        """Write what is not written yet, and close.

        Raises:
            GdbmError: it could not be written.
        """
        ctypes.set_errno(0)
        if self._gdbm.gdbm_close(self._handle) != 0:
            raise self._error()

    def fetch(self, key: bytes) -> bytes | None:
        """The value of a key, None where there is none.

        Raises:
            GdbmError: the file is damaged.
        """
        return self._take(self._gdbm.gdbm_fetch(self._handle, datum(key)))

    def insert(self, key: bytes, value: bytes) -> bool:
        """Store a value, unless the key has one already.

        Returns:
            Whether it was stored.

        Raises:
            GdbmError: it could not be.
        """
        ctypes.set_errno(0)
        status = self._gdbm.gdbm_store(self._handle, datum(key), datum(value), INSERT)
        if status < 0:
            raise self._error()
        return bool(status == 0)

    def count(self) -> int:
        """How many keys there are. All directories and buckets are read for that.

        Raises:
            GdbmError: the file is damaged.
        """
        number = ctypes.c_ulonglong()
        ctypes.set_errno(0)
        if self._gdbm.gdbm_count(self._handle, number) != 0:
            raise self._error()
        return number.value

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """All keys and their values, in the order of their hash values.

        Raises:
            GdbmError: the file is damaged.
        """
        key = self._take(self._gdbm.gdbm_firstkey(self._handle))
        while key is not None:
            value = self.fetch(key)
            if value is not None:
                yield key, value
            key = self._take(self._gdbm.gdbm_nextkey(self._handle, datum(key)))

    def _take(self, found: Datum) -> bytes | None:
        """The octets of an answer, freed; None where the library says that there are none."""
        if not found.pointer:
            if self._gdbm.gdbm_errno_location().contents.value != ITEM_NOT_FOUND:
                raise self._error()
            return None
        try:
            return ctypes.string_at(found.pointer, found.size)
        finally:
            release()(found.pointer)

    def _error(self) -> GdbmError:
        number = self._gdbm.gdbm_errno_location().contents.value
        text = self._gdbm.gdbm_strerror(number).decode()
        return GdbmError(f"{text}: {os.strerror(ctypes.get_errno())}")


def datum(octets: bytes) -> Datum:
    """Octets for the library to read; they have to outlive the call."""
    return Datum(ctypes.cast(ctypes.c_char_p(octets), ctypes.c_void_p), len(octets))
