"""What the programs that make maps share: their command line and the text files they read.

A popmap has an entry a line, ``key:value``, as in ``ann:mail1.example.com:143``; the reference is
maps.md section 14.
"""

import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from perdition import __version__

SUCCESS, FAILURE = 0, 255
OPTION = re.compile(r"-[hu]+|--help|--undo")


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
        elif word.startswith("-"):
            complain(f"options: {word}: unknown option")
            break
        else:
            names.append(word)
    if len(names) != 1:
        raise WrongUsage
    return Command(names[0], undo)


def usage(tool: str) -> str:
    """The usage text of makegdbm or makebdb."""
    return (
        f"perdition version {__version__}\n"
        "\n"
        f"Usage: {tool} [options] {tool.removeprefix('make')}name\n"
        "   options: -h, --help: print this message\n"
        "            -u, --undo: print content of database file, one entry a line"
    )


def entries(lines: Iterable[bytes]) -> Iterator[Entry]:
    """The lines of a popmap, as they are: nothing is trimmed, and ``#`` is like any character."""
    for number, line in enumerate(lines, 1):
        text = line.removesuffix(b"\n")
        if text.strip(b" \t"):
            key, colon, value = text.partition(b":")
            yield Entry(number, key, value if colon else None)


def complain(text: str) -> None:
    """A line on standard error."""
    print(text, file=sys.stderr)
