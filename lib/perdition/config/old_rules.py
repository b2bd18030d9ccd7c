"""What 2.2 made of a configuration file that it and this version read differently.

The reference is options.md sections 4 and 11.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from perdition.config.kinds import FLAG, NUMBER, SECONDS, BadValue
from perdition.config.options import LETTERS, ROWS
from perdition.config.table import Row
from perdition.grammar import (
    BYTE_ORDER_MARK,
    NEWLINE,
    NUL,
    GrammarError,
    Setting,
    scan_settings,
)

LINE_LENGTH = 4093
INDENTED = re.compile(r"^[ \t]+[^ \t\r\n#]", re.MULTILINE)
ENDS_START = "2.2 did not start with it"


class Difference(NamedTuple):
    """A place of a file that means something else now.

    Attributes:
        line: its number, from 1.
        what: the place.
        then: what 2.2 made of it.
        now: what is made of it.
    """

    line: int
    what: str
    then: str
    now: str

    def __str__(self) -> str:
        return f"{self.line}: {self.what}: {self.then}; {self.now}"


def differences(text: str) -> Iterator[Difference]:
    """What is read differently in a configuration file.

    Args:
        text: of the file.
    """
    yield from layout(text)
    try:
        settings = list(scan_settings(text))
    except GrammarError as error:
        yield breach(error)
        return
    if text.startswith(BYTE_ORDER_MARK):
        mark = Setting(1, "a byte order mark", None)
        yield left_out(mark, "unknown option", settings, "now it is passed over")
    for place, setting in enumerate(settings):
        if (difference := stopped_at(setting, settings[place + 1 :])) is not None:
            yield difference


def breach(error: GrammarError) -> Difference:
    """What breaks the grammar now."""
    if error.why == NUL:
        then, mend = "2.2 took it for the end of the word", "take it out"
    else:
        then, mend = "2.2 left out the rest of the file", "close the quotation"
    return Difference(error.line, error.why, then, f"now the start fails: {mend}")


def layout(text: str) -> Iterator[Difference]:
    """Differences that do not depend on what a line says."""
    for found in INDENTED.finditer(text):
        number = text.count("\n", 0, found.start()) + 1
        yield Difference(number, "blanks before the key", ENDS_START, "now they are passed over")
    for number, line in enumerate(text.split("\n"), 1):
        if len(line) > LINE_LENGTH:
            yield Difference(number, "a long line", "2.2 cut it", "now all of it counts")
    # Here a CR is an end too, as it was.
    *before, last = NEWLINE.split(text)
    if last.strip() and not last.lstrip().startswith("#"):
        what = "the last line has no end"
        yield Difference(len(before) + 1, what, "2.2 left out its last word", "now it counts")


def stopped_at(setting: Setting, rest: list[Setting]) -> Difference | None:
    """What is wrong with a setting, if something is.

    Args:
        setting: the setting.
        rest: those after it, which have had no effect where 2.2 stopped there.
    """
    key, equals, _value = setting.key.partition("=")
    name = LETTERS.get(key, key)
    if name not in ROWS:
        return left_out(setting, "unknown option", rest, "now the start fails: take the line out")
    kind = ROWS[name].kind
    if kind is FLAG and equals:
        reason = "option does not take an argument"
        return left_out(setting, reason, rest, "now yes and no are known")
    if setting.value is None:
        needs_none = kind is FLAG or equals or not ROWS[name].in_file
        mend = "now the start fails: give it one"
        return None if needs_none else left_out(setting, "missing argument", rest, mend)
    if kind is FLAG:
        what = f"{setting.key} {setting.value}"
        return Difference(setting.line, what, ENDS_START, "now yes and no are known")
    reason = bad_value(ROWS[name], setting.value)
    if not reason or kind in (NUMBER, SECONDS):
        mend = "now the start fails: mend the value"
        return left_out(setting, reason, rest, mend) if reason else None
    what = f"{setting.key} {setting.value}: {reason}"
    then = "2.2 left it out, or did not start"
    return Difference(setting.line, what, then, "now the start fails: mend the value")


def bad_value(row: Row, text: str) -> str:
    """Why a text is not a value of an option; empty if it is one."""
    try:
        row.kind.parse(text)
    except BadValue as bad:
        return str(bad)
    return ""


def left_out(setting: Setting, reason: str, rest: list[Setting], now: str) -> Difference:
    """A place after which 2.2 read nothing any more."""
    then = "2.2 left out the rest of the file"
    if rest:
        keys = ", ".join(dict.fromkeys(each.key for each in rest))
        now += f"; then these count, which have not until now: {keys}"
    return Difference(setting.line, f"{setting.key}: {reason}", then, now)
