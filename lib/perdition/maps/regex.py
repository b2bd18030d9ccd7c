"""posix_regex: a file of regular expressions (reference: maps.md section 8)."""

import itertools
import operator
import re
from collections.abc import Iterator
from pathlib import Path

from perdition.grammar import GrammarError, scan_words
from perdition.maps import MapSettings
from perdition.maps.files import BrokenFile, FileMap
from perdition.maps.posix import Pattern, PatternError
from perdition.protocols import decode, encode

# With these a name would say more than who it is: other servers, or how they are spoken to.
STRUCTURE = re.compile(rb"[,;]")
DOLLAR = re.compile(rb"\$(\d)")


class Regex(FileMap):
    """The lines of the file, tried in order; the first whose expression matches wins."""

    DEFAULT = "/etc/perdition/popmap.re"
    # Nothing in such a file says that it is whole, and who writes it line by line may take a while.
    SETTLING = 2_000_000_000

    def __init__(self, option: str, settings: MapSettings) -> None:
        """Read the file named by option.

        Raises:
            MapFailed: it cannot be read, or a line of it is wrong; the text says which.
        """
        super().__init__(option, settings)
        self.load()

    def read(self) -> "Lines":
        text = text_of(self.path)
        if self._content is not None and not text.endswith(("\n", "\r")):
            # In the place of a whole one that is half of one, or the beginning of none.
            raise BrokenFile("its last line has no end" if text else "has no lines")
        return Lines(text)


class Lines:
    """The lines of such a file."""

    def __init__(self, text: str) -> None:
        """Take the text of the file apart.

        Raises:
            BrokenFile: a line is wrong; the message begins with its number.
        """
        self._lines: list[tuple[Pattern, bytes]] = []
        number = 0
        try:
            for number, expression, value in entries(text):  # noqa: B007 - the handler's
                if expression and value:
                    self._lines.append((Pattern(encode(expression)), encode(value)))
        except PatternError as error:
            self.close()
            raise BrokenFile(f":{number}: not a regular expression: {error}") from error
        except GrammarError as error:
            self.close()
            raise BrokenFile(f":{error.line}: {error.why}") from error

    def lookup(self, key: bytes, /) -> bytes | None:
        """What precedes the match, and the value with ``$0`` to ``$9`` filled in.

        What follows the match is dropped, as in the original: anchor the expressions. A key is not
        there if a comma or semicolon of it would come into the value.
        """
        if b"\0" in key:
            # It would end there for the C library, and be another one.
            return None
        for pattern, value in self._lines:
            if groups := pattern.search(key):
                before = key[: groups[0][0]]
                if STRUCTURE.search(before + b"".join(taken(value, key, groups))):
                    return None
                return before + filled(value, key, groups)
        return None

    def is_empty(self) -> bool:
        return not self._lines

    def close(self) -> None:
        for pattern, _value in self._lines:
            pattern.close()
        self._lines.clear()


def text_of(path: Path) -> str:
    """The text of such a file, with its ends of lines as they are.

    Raises:
        OSError: it cannot be read.
    """
    return decode(path.read_bytes())


def entries(text: str) -> Iterator[tuple[int, str, str]]:
    """The number of each line, its expression and its value; what follows is not used.

    As in 2.2 a line that lacks one of them says nothing: where a generator did not know a name, its
    line would be for everybody. Quotes with nothing in them before the expression are no word.
    """
    for number, words in scan_words(text):
        expression, value, *_ = *itertools.dropwhile(operator.not_, words), "", ""
        yield number, expression.removesuffix(":"), value


def taken(value: bytes, key: bytes, groups: list[tuple[int, int]]) -> Iterator[bytes]:
    """What of the key goes into a value."""
    for dollar in DOLLAR.finditer(value):
        begin, end = groups[int(dollar[1])]
        if begin >= 0:
            yield key[begin:end]


def filled(value: bytes, key: bytes, groups: list[tuple[int, int]]) -> bytes:
    """A value with the groups of a match in it; ``$n`` stays where group n took no part."""

    def replacement(dollar: re.Match[bytes]) -> bytes:
        begin, end = groups[int(dollar[1])]
        return dollar[0] if begin < 0 else key[begin:end]

    return DOLLAR.sub(replacement, value)
