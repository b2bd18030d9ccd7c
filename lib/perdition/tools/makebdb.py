"""makebdb: make a Berkeley DB file from a popmap on standard input, or show what is in one.

The file, a hash, is what the map bdb of perditiondb(5) reads. Key and value can be empty.
"""

import contextlib
import os
import sys
from collections.abc import Iterable, Sequence

from perdition.maps.libdb import File, LibdbError
from perdition.tools import popmap
from perdition.tools.popmap import complain

# In the library's words.
THERE_ALREADY = "BDB0067 DB_KEYEXIST: Key/data pair already exists"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program.

    Args:
        arguments: of the command line; by default those of this process.

    Returns:
        The exit status.
    """
    tool = popmap.Tool("makebdb", "DB->open", make, show, LibdbError, explain)
    return popmap.run(tool, arguments)


def make(name: str, lines: Iterable[bytes]) -> None:
    """Make a Berkeley DB file, a hash, of the lines of a popmap, or replace it.

    Raises:
        OSError: there can be no such file.
        LibdbError: it cannot be written, or the library is missing.
    """
    with popmap.replacing(name) as new, contextlib.closing(File(new, create=True)) as file:
        for number, key, value in popmap.entries(lines):
            if value is None:
                complain(f"makebdb: invalid input on line: {number} ")
            elif not file.insert(key, value):
                complain(f"makebdb: {THERE_ALREADY} (key: {os.fsdecode(key)})")


def show(name: str) -> None:
    """Write the entries of a Berkeley DB file to standard output.

    Raises:
        LibdbError: it cannot be opened, is not such a file, or damaged, or the library is missing.
    """
    with contextlib.closing(File(name)) as file:
        popmap.show(file.items())


def explain(error: Exception) -> str:
    """What the original says of an error."""
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)


if __name__ == "__main__":
    sys.exit(main())
