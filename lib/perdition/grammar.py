r"""The grammar of configuration files and of the map of regular expressions.

A ``#`` begins a comment, quotes and ``\x`` make text of any character anywhere in a word, and a
backslash before the end of a line joins it with the next. So do quotes around it. Where lines end
with CRLF a comment is not joined: it may end with a path.
"""

import re
from collections.abc import Iterator
from itertools import groupby
from typing import NamedTuple

# What stands in the text, by the name of its group; a quote that is left open matches none.
TOKEN = re.compile(
    r"""
      (?P<newline> \r\n | [\r\n] )
    | (?P<blank> [ \t]+ )
    | (?P<comment> \# (?: \\ (?: (?=\r\n) | . ) | [^\\\r\n] )* )
    | (?P<joined> \\ (?: \r\n | [\r\n] | \Z ) )
    | \\ (?P<escaped> . )
    | ' (?P<single> [^']* ) '
    | " (?P<double> (?: \\ . | [^"\\] )* ) "
    | (?P<plain> [^ \t\r\n\#\\'"]+ )
    """,
    re.VERBOSE | re.DOTALL,
)
# What some editors put before UTF-8: nobody sees it, and it would belong to the first word.
BYTE_ORDER_MARK = "\ufeff"
# What is wrong with a text that has one: 2.2 ended words there.
NUL = "a NUL character"
NEWLINE = re.compile(r"\r\n|[\r\n]")
ESCAPE = re.compile(r"\\(\r\n|.)", re.DOTALL)


class GrammarError(Exception):
    """The text does not follow the grammar.

    Attributes:
        line: the number of the line, from 1.
        why: what is wrong with it.
    """

    def __init__(self, line: int, why: str) -> None:
        super().__init__(f"line {line}: {why}")
        self.line = line
        self.why = why


class Line(NamedTuple):
    """A line that says something.

    Attributes:
        number: where it begins, from 1.
        words: its words, of which there is at least one.
        rest: what follows the first word, white space inside it kept.
    """

    number: int
    words: tuple[str, ...]
    rest: str


class Setting(NamedTuple):
    """A line of a configuration file: its number, the key, and the value, None where none is."""

    line: int
    key: str
    value: str | None


def scan(text: str) -> Iterator[Line]:
    """Split text into lines; those without a word are left out.

    Raises:
        GrammarError: a quote is left open, or there is a NUL.
    """
    if "\0" in text:
        raise GrammarError(lines_in(text[: text.index("\0")]) + 1, NUL)
    text = text.removeprefix(BYTE_ORDER_MARK)
    number = start = 1
    pieces: list[tuple[str, bool]] = []
    position = 0
    while position < len(text):
        token = TOKEN.match(text, position)
        if token is None:
            raise GrammarError(
                number, f"the quotation that begins with {text[position]} has no end"
            )
        position = token.end()
        match token.lastgroup:
            case "newline":
                yield from compose(start, pieces)
                pieces = []
            case "blank":
                pieces.append((token[0], True))
            case "double":
                quoted = ESCAPE.sub(unescape, token["double"])
                pieces.append((NEWLINE.sub("", quoted), False))
            case "single":
                pieces.append((NEWLINE.sub("", token["single"]), False))
            case "escaped" | "plain" as kind:
                pieces.append((token[kind], False))
        number += lines_in(token[0])
        if not any(not is_blank for _, is_blank in pieces):
            start = number
    yield from compose(start, pieces)


def scan_settings(text: str) -> Iterator[Setting]:
    """Read a configuration file: the first word of each line, and the rest of it.

    Raises:
        GrammarError: a quote is left open, or there is a NUL.
    """
    for number, words, rest in scan(text):
        yield Setting(number, words[0], rest if len(words) > 1 else None)


def scan_words(text: str) -> Iterator[tuple[int, list[str]]]:
    """Read the words of each line.

    Raises:
        GrammarError: a quote is left open, or there is a NUL.
    """
    for number, words, _ in scan(text):
        yield number, list(words)


def compose(start: int, pieces: list[tuple[str, bool]]) -> Iterator[Line]:
    """Make the line of its pieces, each blank or not; none where all are blank."""
    runs = [
        ("".join(piece for piece, _ in run), is_blank)
        for is_blank, run in groupby(pieces, key=lambda piece: piece[1])
    ]
    while runs and runs[0][1]:
        runs.pop(0)
    while runs and runs[-1][1]:
        runs.pop()
    if runs:
        words = tuple(run for run, is_blank in runs if not is_blank)
        yield Line(start, words, "".join(run for run, _ in runs[2:]))


def unescape(escape: re.Match[str]) -> str:
    """Give the character that a backslash in double quotes stands for; none for a newline."""
    return "" if NEWLINE.fullmatch(escape[1]) else escape[1]


def lines_in(text: str) -> int:
    """Count the ends of lines in a text."""
    return len(NEWLINE.findall(text))
