"""What is needed of the C library, through ctypes."""

import ctypes
import functools
from typing import Any


@functools.cache
def release() -> Any:
    """free(), for what other libraries have allocated and leave to us."""
    free = ctypes.CDLL(None).free
    free.argtypes = (ctypes.c_void_p,)
    return free
