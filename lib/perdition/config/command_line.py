"""Reading the command line, and with it the file, into `Options`."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from perdition.config import ConfigError, HelpWanted, VersionWanted, checks, files
from perdition.config.kinds import FLAG
from perdition.config.options import LETTERS, ROWS, Options, complete
from perdition.config.settings import (
    COMMAND_LINE,
    Given,
    Level,
    check_value,
    convert,
    gather,
    left_open,
    unknown,
)


class Loaded(NamedTuple):
    """The options, and what the operator should be told about them.

    Attributes:
        given: where each of them was given.
    """

    options: Options
    warnings: list[str]
    given: Level

    def located(self, text: str) -> str:
        """A text about an option, whose name it begins with, and where in the file that is."""
        given = self.given.get(text.partition(" ")[0])
        return text if given is None or given.is_on_command_line else f"{given.where}: {text}"


def load(program: str, arguments: Sequence[str], etc: Path = Path("/etc/perdition")) -> Loaded:
    """Read the options of a program called with these arguments.

    Of an option in both places, that of the command line counts.

    Args:
        program: the name that it was called by, with or without directories.
        arguments: what stood after it.
        etc: where the configuration files are.

    Raises:
        HelpWanted, VersionWanted: that is all that is asked for.
        ConfigError: something is wrong with the arguments, or the file.
    """
    program = Path(program).name
    settings, trailing = scan(arguments)
    line = gather(settings)
    values = convert(line)
    if trailing:
        raise ConfigError(
            f"{COMMAND_LINE}: {trailing[0]!r}: neither an option nor the value of one",
            "\n".join(f"options: trailing argument: {word}" for word in trailing),
            usage=True,
        )
    path = files.default_file(program, etc)
    if "config_file" in values:
        path = Path(values["config_file"]) if values["config_file"] else None
    in_file = gather(files.settings_in(path)) if path else {}
    values = convert(in_file) | values | convert(left_open(line, in_file))
    checks.lower_default_minimum(values)
    values = complete(values, program, files.protocol_of(program))
    values |= {"config_file": str(path or ""), "program": program, "masks": masks(line)}
    # The command line is read first, as in 2.2.
    given = line | {name: each for name, each in in_file.items() if name not in line}
    parted = checks.part_users(values, given)
    options = Options(**values)
    checks.check(options, given)
    return Loaded(options, parted + checks.warnings(options, given), given)


def masks(line: Level) -> tuple[int, int, int]:
    """Collect the bits of the options that were given."""
    words = [0, 0, 0]
    for name in line:
        word, bit = ROWS[name].mask
        words[word] |= bit
    return words[0], words[1], words[2]


def scan(arguments: Sequence[str]) -> tuple[list[Given], list[str]]:
    """Split a command line into options and other words, by the rules of popt, as 2.2 does.

    Raises:
        HelpWanted, VersionWanted: that option was met.
        ConfigError: an option is not known, or lacks a value, or has one too many.
    """
    rest = list(arguments)
    settings: list[Given] = []
    others: list[str] = []
    while rest:
        word = rest.pop(0)
        if word == "--":
            others += rest
            break
        if word.startswith("--"):
            name, equals, value = word[2:].partition("=")
            settings.append(take(word, name, value if equals else None, rest))
        elif word.startswith("-") and word != "-":
            settings += take_letters(word, rest)
        else:
            others.append(word)
            if "POSIXLY_CORRECT" in os.environ:
                others += rest
                break
    return settings, others


def take_letters(word: str, rest: list[str]) -> list[Given]:
    """Take the options of a word of letters: flags, and perhaps one with its value attached."""
    settings = []
    letters = word[1:]
    while letters:
        name, letters = LETTERS.get(letters[0], ""), letters[1:]
        is_flag = name in ROWS and ROWS[name].kind is FLAG
        has_value = letters.startswith("=") if is_flag else bool(letters)
        value = letters.removeprefix("=") if has_value else None
        settings.append(take(word, name, value, rest))
        if not is_flag:
            break
    return settings


def take(word: str, name: str, value: str | None, rest: list[str]) -> Given:
    """Take an option with the value that is attached, or else the next word."""
    if name not in ROWS:
        raise unknown(COMMAND_LINE, word, name, f"options: {word}: unknown option")
    if ROWS[name].kind is FLAG:
        if value is not None:
            raise wrong(word, "option does not take an argument")
        if name == "help":
            raise HelpWanted
        if name == "version":
            raise VersionWanted
        return Given(COMMAND_LINE, name, "yes")
    if value is None:
        if not rest:
            raise wrong(word, "missing argument")
        value = rest.pop(0)
    given = Given(COMMAND_LINE, name, value)
    check_value(given)
    return given


def wrong(word: str, why: str) -> ConfigError:
    """Say what is wrong with an option of the command line."""
    return ConfigError(f"{COMMAND_LINE}: {word}: {why}", f"options: {word}: {why}", usage=True)
