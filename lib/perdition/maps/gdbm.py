"""gdbm: a GDBM file, such as makegdbm makes (reference: maps.md section 4)."""

import fcntl
import os
import shutil
from pathlib import Path

from perdition.maps.files import BeingWritten, BrokenFile, FileMap
from perdition.maps.libgdbm import NOLOCK, READER, File, GdbmError


class Gdbm(FileMap):
    """What a GDBM file holds.

    Look-ups are made in a copy, so that makegdbm, the original's too, can truncate and write the
    file at any time.
    """

    DEFAULT = "/etc/perdition/popmap.gdbm.db"

    def read(self) -> "Copy":
        return Copy(self.path)


class Copy:
    """A copy of a GDBM file, in memory."""

    def __init__(self, path: Path) -> None:
        """Make it, under the lock that readers of the library take."""
        try:
            self._file = copy_of(path)
        except GdbmError as error:
            raise BrokenFile(str(error)) from error

    def lookup(self, key: bytes, /) -> bytes | None:
        try:
            return self._file.fetch(key)
        except GdbmError as error:
            raise BrokenFile(str(error)) from error

    def close(self) -> None:
        self._file.close()


def copy_of(path: Path) -> File:
    """A GDBM file, copied while nobody writes it.

    Raises:
        BeingWritten: somebody is writing it.
        OSError: it cannot be read.
        GdbmError: it is not a GDBM file.
    """
    with path.open("rb") as file, os.fdopen(os.memfd_create("perdition-map"), "wb") as memory:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BeingWritten from error
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
