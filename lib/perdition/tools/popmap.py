"""What the programs that make maps share: all but the library that writes the database.

A popmap has an entry a line, ``key:value``, as in ``ann:mail1.example.com:143``: the first colon
counts. Nothing is trimmed, and ``#`` is like any character. Blank lines are passed over. Lines that
are wrong, and keys that are there already, are complained of and left out.

The new file takes the place of the old one, with its mode and owner, when it is whole: perdition
can go on meanwhile, and reads it then.

The exit status is 255 where the file cannot be opened, written or read, or is not named, and else
0, also where lines were left out.
"""
# From the second paragraph on that is in the manual pages of makegdbm and makebdb, with OPTIONS.

import contextlib
import errno
import os
import re
import signal
import stat
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, NoReturn

from perdition import __version__

SUCCESS, FAILURE = 0, 255
OPTIONS = {
    "-h, --help": "print this message",
    "-u, --undo": "print content of database file, one entry a line",
}
OPTION = re.compile(r"-[hu]+|--help|--undo")
ENDINGS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)


class Tool(NamedTuple):
    """A program that makes maps.

    Attributes:
        name: of the program.
        opening: what the original calls the opening of a database, in its messages.
        make: makes the database of that name of the lines of a popmap.
        show: writes the entries of a database to standard output.
        failure: what these raise, beside OSError, where it cannot be opened, written or read.
        explain: the words for either.
    """

    name: str
    opening: str
    make: Callable[[str, Iterable[bytes]], None]
    show: Callable[[str], None]
    failure: type[Exception]
    explain: Callable[[Exception], str]


class Command(NamedTuple):
    """What is to be done.

    Attributes:
        file: the database.
        undo: whether to show what is in it; else it is made from standard input.
    """

    file: str
    undo: bool


class Entry(NamedTuple):
    """A line that is not blank.

    Attributes:
        number: of the line, from 1.
        key: what stands before the first colon.
        value: what stands behind it; None where there is none.
    """

    number: int
    key: bytes
    value: bytes | None


class HelpWanted(Exception):
    """The usage text was asked for."""


class WrongUsage(Exception):
    """Not exactly one database was named."""


def run(tool: Tool, arguments: Sequence[str] | None) -> int:
    """Run a program.

    Args:
        tool: which one.
        arguments: of the command line; None for those of this process.

    Returns:
        The exit status: FAILURE where the database cannot be opened, written or read. Lines that
        are wrong are complained of and left out; they do not change it.
    """
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    for number in ENDINGS:
        # Not the default: files that are being made are removed.
        signal.signal(number, leave)
    doing = "new"
    try:
        command = read_command(sys.argv[1:] if arguments is None else arguments)
        if command.undo:
            doing = "undo"
            tool.show(command.file)
            sys.stdout.flush()
        elif sys.stdin is None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        else:
            tool.make(command.file, sys.stdin.buffer)
    except HelpWanted:
        print(usage(tool.name))
    except WrongUsage:
        complain(usage(tool.name))
        return FAILURE
    except (OSError, tool.failure) as error:
        complain(f"{tool.name}_{doing}: {tool.opening}: {tool.explain(error)}")
        return FAILURE
    return SUCCESS


def leave(number: int, _frame: object) -> NoReturn:
    """End because of a signal, with the status that a shell gives to that."""
    raise SystemExit(128 + number)


def read_command(arguments: Sequence[str]) -> Command:
    """Read the command line.

    As in the original, an option that nobody knows ends it, and is no failure by itself.

    Raises:
        HelpWanted: the usage text was asked for.
        WrongUsage: not exactly one database was named.
    """
    undo = False
    names: list[str] = []
    words = iter(arguments)
    for word in words:
        if word == "--":
            names.extend(words)
        elif OPTION.fullmatch(word):
            if "h" in word:
                raise HelpWanted
            undo = True
        elif word.startswith("-") and word != "-":
            complain(f"options: {word}: unknown option")
            break
        else:
            names.append(word)
    if len(names) != 1:
        raise WrongUsage
    return Command(names[0], undo)


def usage(tool: str) -> str:
    """The usage text of makegdbm or makebdb."""
    options = "\n            ".join(f"{words}: {text}" for words, text in OPTIONS.items())
    return (
        f"perdition version {__version__}\n"
        "\n"
        f"Usage: {tool} [options] {tool.removeprefix('make')}name\n"
        f"   options: {options}"
    )


def entries(lines: Iterable[bytes]) -> Iterator[Entry]:
    """The lines of a popmap, as they are: nothing is trimmed, and ``#`` is like any character."""
    for number, line in enumerate(lines, 1):
        text = line.removesuffix(b"\n")
        if text.strip(b" \t"):
            key, colon, value = text.partition(b":")
            yield Entry(number, key, value if colon else None)


@contextlib.contextmanager
def replacing(name: str) -> Iterator[str]:
    """A file that takes the place of another when all is done: nobody ever reads half of it.

    Args:
        name: of the file that is replaced, if there is one.

    Returns:
        The name of an empty file; it is gone after a failure.

    Raises:
        OSError: there can be no such file.
    """
    try:
        path = Path(name).resolve()
    except RuntimeError as error:
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP)) from error
    if path.exists() and not path.is_file():
        # Such as /dev/null, whose place nothing else must take.
        raise OSError(errno.EINVAL, "not a file")
    # A signal must not come between the file and knowing its name.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDINGS)
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except BaseException:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        raise
    try:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        try:
            pass_rights_on(path, descriptor)
        finally:
            os.close(descriptor)
        yield temporary
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


def show(items: Iterable[tuple[bytes, bytes]]) -> int:
    """Write entries to standard output.

    Returns:
        How many there were.
    """
    number = 0
    for key, value in items:
        sys.stdout.buffer.write(b"%b:%b\n" % (key, value))
        number += 1
    return number


def complain(text: str) -> None:
    """A line on standard error; octets of a popmap that are no text come out as they are."""
    sys.stderr.flush()
    sys.stderr.buffer.write(os.fsencode(f"{text}\n"))
    sys.stderr.buffer.flush()
