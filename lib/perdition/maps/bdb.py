"""bdb: a Berkeley DB file, such as makebdb makes (reference: maps.md section 5)."""

from pathlib import Path

from perdition.maps import MapFailed, MapSettings
from perdition.maps.files import BrokenFile, Copy, FileMap, in_memory
from perdition.maps.libdb import File, LibdbError, library, verify


class Bdb(FileMap):
    """What a Berkeley DB file holds.

    Look-ups are made in a copy of which every page was looked at: the original's makebdb writes the
    file in its place and takes no lock. While it reads its entries, the file is an empty database
    and nothing is wrong with it.

    The library reads the copy at places that it names, and no two processes have a cache in common:
    it holds in a process forked later as well.
    """

    DEFAULT = "/etc/perdition/popmap.bdb.db"

    def __init__(self, option: str, settings: MapSettings) -> None:
        """Use the file named by option; that it is missing is noticed at a look-up.

        Raises:
            MapFailed: there is no library to read it.
        """
        try:
            library()
        except LibdbError as error:
            raise MapFailed(f"map bdb: {error}") from error
        super().__init__(option, settings)

    def read(self) -> Copy:
        try:
            return Copy(copy_of(self.path), LibdbError)
        except LibdbError as error:
            raise BrokenFile(f"not a Berkeley DB file, or a damaged one: {error}") from error


def copy_of(path: Path) -> File:
    """A copy of a Berkeley DB file, with nothing wrong in it.

    Raises:
        OSError: it cannot be read.
        LibdbError: it is not such a file, or damaged.
    """
    with path.open("rb") as file, in_memory(file) as memory:
        # The library opens files by their names alone.
        name = f"/proc/self/fd/{memory.fileno()}"
        verify(name)
        return File(name)
