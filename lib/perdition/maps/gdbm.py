"""gdbm: a GDBM file, such as makegdbm makes (reference: maps.md section 4)."""

import fcntl
import os
from pathlib import Path

from perdition.maps import MapFailed, MapSettings
from perdition.maps.files import BeingWritten, BrokenFile, Copy, FileMap, in_memory
from perdition.maps.libgdbm import NOLOCK, READER, File, GdbmError, library


class Gdbm(FileMap):
    """What a GDBM file holds.

    Look-ups are made in a copy, so that makegdbm, the original's too, can truncate and write the
    file at any time. The copy is mapped into memory, and holds in a process forked later as well.
    """

    DEFAULT = "/etc/perdition/popmap.gdbm.db"

    def __init__(self, option: str, settings: MapSettings) -> None:
        super().__init__(option, settings)
        # Without a file there is nothing to look up, and no need of the library.
        if option or self.path.exists():
            try:
                library()
            except GdbmError as error:
                raise MapFailed(f"map gdbm: {error}") from error

    def read(self) -> Copy:
        try:
            return Copy(copy_of(self.path), GdbmError)
        except GdbmError as error:
            raise BrokenFile(error.why) from error


def copy_of(path: Path) -> File:
    """A GDBM file, copied while nobody writes it.

    Raises:
        BeingWritten: somebody is writing it.
        OSError: it cannot be read.
        GdbmError: it is not a GDBM file.
    """
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BeingWritten from error
        with in_memory(file) as memory:
            descriptor = os.dup(memory.fileno())
    copy = File(descriptor, READER | NOLOCK)
    try:
        # A file cut short opens as well as any: look behind its first block.
        copy.count()
    except GdbmError:
        copy.close()
        raise
    return copy
