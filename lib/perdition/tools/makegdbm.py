"""makegdbm: make a GDBM file from a popmap on standard input, or show what is in one.

The exit status is 255 where the file cannot be opened, written or read. Lines that are wrong are
complained of and left out; they do not change it.
"""

import contextlib
import os
import signal
import stat
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from perdition.maps.libgdbm import NEWDB, READER, File, GdbmError
from perdition.tools import popmap
from perdition.tools.popmap import FAILURE, SUCCESS, complain


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program.

    Args:
        arguments: of the command line; by default those of this process.

    Returns:
        The exit status.
    """
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    doing = "makegdbm"
    try:
        command = popmap.read_command(sys.argv[1:] if arguments is None else arguments)
        if command.undo:
            doing = "makegdbm_undo: gdbm_open"
            show(command.file)
        else:
            doing = "makegdbm_new: gdbm_open"
            make(command.file, sys.stdin.buffer)
    except popmap.HelpWanted:
        print(popmap.usage("makegdbm"))
    except popmap.WrongUsage:
        complain(popmap.usage("makegdbm"))
        return FAILURE
    except GdbmError as error:
        complain(f"{doing}: {error}")
        return FAILURE
    except OSError as error:
        complain(f"{doing}: File open error: {error.strerror}")
        return FAILURE
    return SUCCESS


def make(name: str, lines: Iterable[bytes]) -> None:
    """Make a GDBM file of the lines of a popmap, or replace it: nobody ever reads half of it.

    Raises:
        OSError: there can be no such file.
        GdbmError: it cannot be written.
    """
    path = Path(name).resolve()
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        pass_rights_on(path, descriptor)
        with contextlib.closing(File(descriptor, NEWDB)) as file:
            for number, key, value in popmap.entries(lines):
                if not key or not value:
                    complain(f"makegdbm: invalid input on line: {number} ")
                elif not file.insert(key, value):
                    complain(f"makegdbm: dupicate key: {os.fsdecode(key)}")
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink()
        raise


def pass_rights_on(path: Path, descriptor: int) -> None:
    """Give a file mode and owner of the one that it replaces; else all may read it, but for umask.

    The proxy's workers, who do not run as root, are to read it.
    """
    try:
        status = path.stat()
    except FileNotFoundError:
        mask = os.umask(0)
        os.umask(mask)
        os.fchmod(descriptor, 0o644 & ~mask)
        return
    with contextlib.suppress(PermissionError):
        os.fchown(descriptor, status.st_uid, status.st_gid)
    os.fchmod(descriptor, stat.S_IMODE(status.st_mode))


def show(name: str) -> None:
    """Write the entries of a GDBM file to standard output.

    Raises:
        OSError: the file cannot be opened.
        GdbmError: it is not a GDBM file, or damaged.
    """
    with contextlib.closing(File(os.open(name, os.O_RDONLY), READER)) as file:
        empty = True
        for key, value in file.items():
            sys.stdout.buffer.write(b"%b:%b\n" % (key, value))
            empty = False
    if empty:
        complain("makegdbm: makegdbm_undo: no first key")


if __name__ == "__main__":
    sys.exit(main())
