r"""The grammar of configuration files and of the file of regular expressions.

The reference is options.md section 4: ``#`` comments, ``\\x`` and quotes anywhere in a word, and a
backslash before the end of a line joins it with the next.
"""

from collections.abc import Iterator
from typing import NamedTuple

BLANK = " \t"


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


class Setting(NamedTuple):
    """A line of a configuration file: its number, the key, and the value, None where none is."""

    line: int
    key: str
    value: str | None


class Character(NamedTuple):
    """A character of a line; is_text where quotes or a backslash made it an ordinary one."""

    char: str
    is_text: bool


def scan_lines(text: str) -> Iterator[tuple[int, list[Character], bool]]:
    """The lines of text with quotes, escapes and comments resolved.

    Yields:
        The line's number, its characters, and whether it had quotes; blank lines are left out.

    Raises:
        GrammarError: a quote is left open.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    characters: list[Character] = []
    quote, quoted, comment = "", False, False
    line = start = 1
    at = 0
    while at < len(text):
        char = text[at]
        after = text[at + 1] if at + 1 < len(text) else ""
        at += 1
        if char == "\\" and quote != "'" and after:
            at += 1
            if after == "\n":
                line += 1
            elif not comment:
                characters.append(Character(after, is_text=True))
        elif comment and char != "\n":
            continue
        elif quote:
            if char == quote:
                quote = ""
            else:
                characters.append(Character(char, is_text=True))
                line += char == "\n"
        elif char in "'\"":
            quote, quoted, opened = char, True, line
        elif char == "#":
            comment = True
        elif char == "\n":
            if quoted or any(each.is_text or each.char not in BLANK for each in characters):
                yield start, characters, quoted
            characters, quoted, comment = [], False, False
            line += 1
            start = line
        else:
            characters.append(Character(char, is_text=False))
    if quote:
        raise GrammarError(opened, f"the quotation that begins with {quote} has no end")
    if quoted or any(each.is_text or each.char not in BLANK for each in characters):
        yield start, characters, quoted


def scan_settings(text: str) -> Iterator[Setting]:
    """The settings of a configuration file: the first word of each line, and the rest of it.

    Raises:
        GrammarError: a quote is left open.
    """
    for line, characters, quoted in scan_lines(text):
        at = skip_blanks(characters, 0)
        end = at
        while end < len(characters) and not is_blank(characters[end]):
            end += 1
        rest = characters[skip_blanks(characters, end) :]
        while rest and is_blank(rest[-1]):
            rest.pop()
        key, value = join(characters[at:end]), join(rest)
        # A quotation with nothing in it leaves no characters, but is a value.
        has_value = bool(rest) or (quoted and bool(characters[end:]))
        yield Setting(line, key, value if has_value else None)


def scan_words(text: str) -> Iterator[tuple[int, list[str]]]:
    """The words of each line.

    Raises:
        GrammarError: a quote is left open.
    """
    for line, characters, _quoted in scan_lines(text):
        words: list[str] = []
        at = skip_blanks(characters, 0)
        while at < len(characters):
            end = at
            while end < len(characters) and not is_blank(characters[end]):
                end += 1
            words.append(join(characters[at:end]))
            at = skip_blanks(characters, end)
        yield line, words


def is_blank(character: Character) -> bool:
    """Whether it separates words."""
    return character.char in BLANK and not character.is_text


def skip_blanks(characters: list[Character], at: int) -> int:
    """The place of the next character that is none."""
    while at < len(characters) and is_blank(characters[at]):
        at += 1
    return at


def join(characters: list[Character]) -> str:
    """The text of them."""
    return "".join(each.char for each in characters)
