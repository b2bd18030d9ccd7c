"""gdbm: a GDBM file, such as makegdbm makes (reference: maps.md section 4)."""

import fcntl
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

from perdition.maps import MapFailed
from perdition.maps.libgdbm import NOLOCK, READER, File, GdbmError

DEFAULT = "/etc/perdition/popmap.gdbm.db"


def tell_nobody(_trouble: str) -> None:
    """Where nobody wants to know."""


class Gdbm:
    """What a GDBM file holds, read again when the file has changed.

    Look-ups are made in a copy, so that makegdbm, the original's too, can truncate and write the
    file at any time. While it does, and when the file is gone or is no longer good, the copy of
    before stays in use. The lock lets one thread look up at a time.
    """

    def __init__(self, option: str, tell: Callable[[str], None] = tell_nobody) -> None:
        """Use the file named by option; that it is missing is noticed at a look-up.

        Args:
            option: `map_library_opt`.
            tell: is told, once, why the file is not read any more though it has changed.
        """
        self._path = Path(option or DEFAULT)
        self._name = str(self._path)
        self._tell = tell
        self._lock = threading.Lock()
        self._copy: File | None = None
        self._stamp: tuple[int, ...] = ()
        self._trouble = ""

    def lookup(self, key: bytes) -> bytes | None:
        """The value of a key.

        Raises:
            MapFailed: the file cannot be read and never could, or it is damaged.
        """
        with self._lock:
            self._refresh()
            if self._copy is None:
                raise MapFailed(self._trouble)
            try:
                return self._copy.fetch(key)
            except GdbmError as error:
                raise MapFailed(f"{self._path}: {error}") from error

    def close(self) -> None:
        with self._lock:
            self._stamp = ()
            if self._copy is not None:
                self._copy.close()
                self._copy = None

    def _refresh(self) -> None:
        """Copy the file if it is not the one that was looked at last."""
        before = self._stamp
        try:
            status = os.stat(self._name)  # noqa: PTH116 - at each look-up, and half as long
            self._stamp = (status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size)
            if self._stamp == before:
                return
            copy = copy_of(self._path)
        except BlockingIOError:
            self._stamp = ()
            if self._copy is None:
                self._trouble = f"{self._path}: is being written"
        except OSError as error:
            self._stamp = ()
            self._report(error.strerror or str(error))
        except GdbmError as error:
            self._report(str(error))
        else:
            if self._copy is not None:
                self._copy.close()
            self._copy, self._trouble = copy, ""

    def _report(self, reason: str) -> None:
        trouble = f"{self._name}: {reason}"
        if self._copy is not None and trouble != self._trouble:
            self._tell(f"{trouble}: what it held before stays in use")
        self._trouble = trouble


def copy_of(path: Path) -> File:
    """A copy of a GDBM file, in memory.

    It is made under the lock that readers of the library take: no half-written file is copied.

    Raises:
        BlockingIOError: somebody is writing it.
        OSError: it cannot be read.
        GdbmError: it is not a GDBM file.
    """
    with path.open("rb") as file, os.fdopen(os.memfd_create("perdition-map"), "wb") as memory:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        shutil.copyfileobj(file, memory)
        memory.seek(0)
        descriptor = os.dup(memory.fileno())
    copy = File(descriptor, READER | NOLOCK)
    try:
        # A file cut short opens as well as any: look behind its first block.
        copy.count()
    except GdbmError:
        copy.close()
        raise
    return copy
