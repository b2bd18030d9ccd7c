"""makegdbm: make a GDBM file from a popmap on standard input, or show what is in one.

The file is what the map gdbm of perditiondb(5) reads. Neither key nor value can be empty.
"""

import contextlib
import os
import sys
from collections.abc import Iterable, Sequence

from perdition.maps.libgdbm import NEWDB, READER, File, GdbmError
from perdition.tools import popmap
from perdition.tools.popmap import complain


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program.

    Args:
        arguments: of the command line; by default those of this process.

    Returns:
        The exit status.
    """
    tool = popmap.Tool("makegdbm", "gdbm_open", make, show, GdbmError, explain)
    return popmap.run(tool, arguments)


def make(name: str, lines: Iterable[bytes]) -> None:
    """Make a GDBM file of the lines of a popmap, or replace it.

    Raises:
        OSError: there can be no such file.
        GdbmError: it cannot be written.
    """
    with popmap.replacing(name) as new:
        descriptor = os.open(new, os.O_RDWR)
        with contextlib.closing(File(descriptor, NEWDB)) as file:
            for number, key, value in popmap.entries(lines):
                if not key or not value:
                    complain(f"makegdbm: invalid input on line: {number} ")
                elif not file.insert(key, value):
                    complain(f"makegdbm: dupicate key: {os.fsdecode(key)}")


def show(name: str) -> None:
    """Write the entries of a GDBM file to standard output.

    Raises:
        OSError: the file cannot be opened.
        GdbmError: it is not a GDBM file, or damaged.
    """
    with contextlib.closing(File(os.open(name, os.O_RDONLY), READER)) as file:
        if not popmap.show(file.items()):
            complain("makegdbm: makegdbm_undo: no first key")


def explain(error: Exception) -> str:
    """What the original says of an error."""
    return f"File open error: {error.strerror}" if isinstance(error, OSError) else str(error)


if __name__ == "__main__":
    sys.exit(main())
