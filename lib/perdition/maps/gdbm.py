"""gdbm: a GDBM file (reference: maps.md section 4), read by libgdbm through ctypes.

Neither Debian's bare Python nor others have the module `_gdbm`; the library itself is on
practically every system.
"""

import ctypes
import ctypes.util
import functools
import threading
from pathlib import Path
from typing import Any

from perdition.maps import MapFailed

DEFAULT = "/etc/perdition/popmap.gdbm.db"
# gdbm.h: open to read, and without a lock, so that makegdbm can replace it meanwhile.
READER, NOLOCK = 0, 0x040


class Datum(ctypes.Structure):
    """gdbm.h: octets and how many."""

    _fields_ = (("pointer", ctypes.c_void_p), ("size", ctypes.c_int))


@functools.cache
def library() -> Any:
    """The library.

    Raises:
        MapFailed: it is not there.
    """
    for name in ("libgdbm.so.6", "libgdbm.so.5", ctypes.util.find_library("gdbm")):
        try:
            found = ctypes.CDLL(name or "libgdbm.so", use_errno=True)
        except OSError:
            continue
        found.gdbm_open.restype = ctypes.c_void_p
        found.gdbm_fetch.restype = Datum
        found.gdbm_fetch.argtypes = (ctypes.c_void_p, Datum)
        found.gdbm_close.argtypes = (ctypes.c_void_p,)
        return found
    raise MapFailed("gdbm: install libgdbm6 (Debian), or gdbm")


@functools.cache
def c_library() -> Any:
    """The C library, which has handed out what gdbm_fetch gives."""
    return ctypes.CDLL(None)


class Gdbm:
    """A GDBM file, opened for each look-up as the original does: a new one is seen at once.

    A lock keeps the threads apart: the library is not made for several.
    """

    def __init__(self, option: str) -> None:
        """Use the file named by option; that it is missing is noticed at a look-up."""
        self._path = Path(option or DEFAULT)
        self._lock = threading.Lock()

    def lookup(self, key: bytes) -> bytes | None:
        """The value of a key.

        Raises:
            MapFailed: the file cannot be read.
        """
        found = library()
        with self._lock:
            file = found.gdbm_open(bytes(self._path), 0, READER | NOLOCK, 0, None)
            if not file:
                raise MapFailed(f"{self._path}: cannot be opened as a GDBM file")
            try:
                buffer = ctypes.create_string_buffer(key, len(key))
                datum = found.gdbm_fetch(file, Datum(ctypes.addressof(buffer), len(key)))
                if not datum.pointer:
                    return None
                try:
                    return ctypes.string_at(datum.pointer, datum.size)
                finally:
                    c_library().free(ctypes.c_void_p(datum.pointer))
            finally:
                found.gdbm_close(file)

    def close(self) -> None:
        return
