"""posix_regex: a file of regular expressions (reference: maps.md section 8)."""

import re
from collections.abc import Callable

from perdition.grammar import GrammarError, scan_words
from perdition.maps import MapSettings
from perdition.maps.files import BrokenFile, FileMap
from perdition.protocols import decode, encode

WORDS = 2
CLASSES = {
    "alnum": "a-zA-Z0-9",
    "alpha": "a-zA-Z",
    "blank": " \\t",
    "cntrl": "\\x00-\\x1f\\x7f",
    "digit": "0-9",
    "graph": "!-~",
    "lower": "a-z",
    "print": " -~",
    "punct": "!-/:-@\\[-`{-~",
    "space": "\\s",
    "upper": "A-Z",
    "xdigit": "0-9a-fA-F",
}
# A bracket expression of POSIX; "]" stands for itself at its beginning.
BRACKET = re.compile(r"\[(\^?)(\]?(?:\[:\w+:\]|\[[.=].*?[.=]\]|[^\]])*)\]", re.DOTALL)


class Regex(FileMap):
    """The lines of the file, tried in order; the first whose expression matches wins."""

    DEFAULT = "/etc/perdition/popmap.re"

    def __init__(self, option: str, settings: MapSettings) -> None:
        """Read the file named by option.

        Raises:
            MapFailed: it cannot be read, or a line of it is wrong; the text says which.
        """
        super().__init__(option, settings)
        self.load()

    def read(self) -> "Lines":
        return Lines(self.path.read_text(encoding="utf-8", errors="surrogateescape"))


class Lines:
    """The lines of such a file."""

    def __init__(self, text: str) -> None:
        """Take the text of the file apart.

        Raises:
            BrokenFile: a line is wrong; the message begins with its number.
        """
        self._lines: list[tuple[re.Pattern[str], str]] = []
        try:
            for number, words in scan_words(text):
                if len(words) >= WORDS:
                    self._lines.append((self._compile(number, words[0]), words[1]))
        except GrammarError as error:
            raise BrokenFile(f":{error.line}: {error.why}") from error

    @staticmethod
    def _compile(number: int, word: str) -> re.Pattern[str]:
        try:
            return compile_posix(word.removesuffix(":"))
        except (re.error, KeyError) as error:
            raise BrokenFile(f":{number}: not a regular expression: {error}") from error

    def lookup(self, key: bytes, /) -> bytes | None:
        """What precedes the match, and the value with ``$0`` to ``$9`` filled in.

        What follows the match is dropped, as in the original: anchor the expressions.
        """
        name = decode(key)
        for pattern, value in self._lines:
            if match := pattern.search(name):
                return encode(name[: match.start()] + re.sub(r"\$(\d)", group_of(match), value))
        return None

    def close(self) -> None:
        return


def group_of(match: re.Match[str]) -> Callable[[re.Match[str]], str]:
    """What replaces ``$n``: the group, or ``$n`` itself where it took no part."""

    def replacement(dollar: re.Match[str]) -> str:
        number = int(dollar[1])
        if number > match.re.groups:
            return dollar[0]
        group: str | None = match[number]
        return dollar[0] if group is None else group

    return replacement


def compile_posix(pattern: str) -> re.Pattern[str]:
    """Compile an extended regular expression of POSIX, as REG_NEWLINE has it.

    Python's expressions differ in the classes in brackets, in the backslash, which is an
    ordinary character there, and in the escapes of letters, which POSIX does not have.
    """
    result, last = [], 0
    for bracket in BRACKET.finditer(pattern):
        if escaped(pattern, bracket.start()):
            continue
        if bracket.start() < last:
            continue
        result.append(outside(pattern[last : bracket.start()]))
        body = bracket[2].replace("\\", "\\\\")
        body = re.sub(r"\[:(\w+):\]", lambda found: CLASSES[found[1]], body)
        body = body.replace("[", "\\[").replace("\\\\[", "\\[")
        if body.startswith("]"):
            body = "\\" + body
        result.append(f"[{bracket[1]}{body}]")
        last = bracket.end()
    result.append(outside(pattern[last:]))
    return re.compile("".join(result), re.MULTILINE | re.ASCII)


def escaped(pattern: str, place: int) -> bool:
    """Whether an odd number of backslashes stands before that place."""
    before = pattern[:place]
    return (len(before) - len(before.rstrip("\\"))) % 2 == 1


def outside(text: str) -> str:
    r"""The part of an expression that stands outside of brackets, for Python.

    glibc, which the original uses, has the escapes ``\w \W \s \S \b \B \< \>`` beyond POSIX.
    """
    text = re.sub(r"\\([A-RT-VX-Zac-rt-vx-z])", r"\1", text)
    text = re.sub(r"\\[<>]", r"\\b", text)
    return re.sub(r"\(\?", r"(\\?", text)
