"""What was given on the command line or in a file, and its values by the kinds of the table."""

import difflib
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from configobj import ConfigObj
from configobj.validate import ValidateError, Validator

from perdition.config import ConfigError
from perdition.config.kinds import SSL_MODE, STATE_LIST, BadValue, Kind, split_add_domain
from perdition.config.options import ROWS

COMMAND_LINE = "command line"


class Given(NamedTuple):
    """An option as it was given.

    Attributes:
        where: the command line, or file and line.
        name: the option's long name.
        text: its value; "yes" for a flag that stands alone.
    """

    where: str
    name: str
    text: str

    @property
    def is_on_command_line(self) -> bool:
        """Whether it was given there, and not in a file."""
        return self.where == COMMAND_LINE

    def __repr__(self) -> str:
        # The value may have a password in it.
        return f"Given(where={self.where!r}, name={self.name!r})"


# By the options' names, in the order in which they are read.
Level = dict[str, Given]


def gather(settings: Iterable[Given]) -> Level:
    """Put the settings of the command line, or of a file, in order by their names.

    Of an option that is repeated the last one counts, or all of them where they accumulate. An
    option that stands for others counts as if they were given in its place.
    """
    level: Level = {}
    for given in settings:
        # What is repeated has its place where it counts.
        before = level.pop(given.name, None)
        if before is not None and ROWS[given.name].kind.accumulates:
            texts = (before.text, given.text)
            level[given.name] = given._replace(text=",".join(filter(None, texts)))
        else:
            level[given.name] = given
        for name in ROWS[given.name].sets:
            level[name] = given._replace(name=name)
    return level


def left_open(line: Level, in_file: Level) -> Level:
    """Let the file say what the command line leaves open of add_domain: the states, or the depth.

    Returns:
        The option as it is then, if both have it.
    """
    given, other = line.get("add_domain"), in_file.get("add_domain")
    if given is None or other is None or not given.text:
        return {}
    pairs = zip(split_add_domain(given.text), split_add_domain(other.text), strict=True)
    text = ",".join(word for ours, files in pairs for word in ours or files)
    return {"add_domain": given._replace(text=text)}


def convert(level: Level) -> dict[str, Any]:
    """Convert texts to values.

    Raises:
        ConfigError: a text is not of its option's kind.
    """
    config = ConfigObj(
        {name: given.text for name, given in level.items()},
        configspec=ConfigObj(SPEC, interpolation=False, list_values=False, _inspec=True),
        interpolation=False,
        list_values=False,
    )
    outcome = config.validate(VALIDATOR, preserve_errors=True)
    for name, given in level.items():
        if isinstance(outcome, dict) and isinstance(outcome.get(name), ValidateError):
            raise refusal(given, outcome[name].__cause__)
    return {name: config[name] for name in level}


def check_value(given: Given) -> None:
    """Check one text, before those after it are looked at.

    Raises:
        ConfigError: it is not of its option's kind, or it is an empty list where 2.2 takes none.
    """
    kind = ROWS[given.name].kind
    try:
        if not given.text and kind in (STATE_LIST, SSL_MODE):
            raise BadValue("must have at least one word", given.text)
        kind.parse(given.text)
    except BadValue as bad:
        raise refusal(given, bad) from bad


def refusal(given: Given, bad: BadValue) -> ConfigError:
    """Say that a text is not of its option's kind."""
    row = ROWS[given.name]
    has_usage = given.is_on_command_line or row.kind.is_shown_usage
    key = f"{row.short}|{given.name}" if row.short else given.name
    message = row.kind.complaint.format(name=given.name, key=key, word=bad.word)
    return ConfigError(
        f"{given.where}: {given.name} {given.text!r}: {bad}",
        message if has_usage else "",
        usage=has_usage,
    )


def unknown(where: str, written: str, name: str, message: str = "") -> ConfigError:
    """Say that there is no such option, and which one may be meant."""
    near = difflib.get_close_matches(name, ROWS, 1)
    hint = f"; did you mean {near[0]}?" if near else ""
    return ConfigError(f"{where}: {written}: unknown option{hint}", message, usage=bool(message))


def checker(kind: Kind[Any]) -> Callable[[str], Any]:
    """Make the function that checks a kind for `Validator`."""

    def check(text: str) -> Any:
        try:
            return kind.parse(text)
        except BadValue as bad:
            raise ValidateError from bad

    return check


SPEC = {name: row.kind.name for name, row in ROWS.items()}
VALIDATOR = Validator({row.kind.name: checker(row.kind) for row in ROWS.values()})
