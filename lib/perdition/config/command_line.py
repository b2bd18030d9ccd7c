"""Reading the command line and the file into `Options` (reference: options.md sections 1, 2)."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import configobj
import validate

from perdition.config import ConfigError, HelpWanted, VersionWanted, files
from perdition.config.kinds import FLAG, NUMBER, SECONDS, BadValue, SslMode
from perdition.config.options import DEFAULTS, DEPENDENT, LETTERS, ROWS, Options, default_group

PORTS = {
    "POP3": ("pop3", "110"),
    "POP3S": ("pop3s", "995"),
    "IMAP4": ("imap", "143"),
    "IMAP4S": ("imaps", "993"),
    "MANAGESIEVE": ("sieve", "4190"),
}
ALIASES = {"server_ok_line": "server_resp_line"}
CAPABILITIES = ("imap_capability", "managesieve_capability", "pop_capability")
COMMAND_LINE = "command line"
USAGE_IN_FILE = ("protocol", "pid_file", "log_passwd")


class Given(NamedTuple):
    """An option as it was given.

    Attributes:
        where: the command line, or file and line.
        name: the option's long name.
        text: its value; None for a flag.
        written: the option as it was written.
    """

    where: str
    name: str
    text: str | None
    written: str

    @property
    def on_command_line(self) -> bool:
        return self.where == COMMAND_LINE


class Refused(validate.ValidateError):  # type: ignore[misc]
    """A value is not of its kind, as `validate` wants to hear it; the argument is the reason."""


class Loaded(NamedTuple):
    """The options, and what the operator should be told about them."""

    options: Options
    warnings: list[str]


def load(program: str, arguments: Sequence[str], etc: Path = Path("/etc/perdition")) -> Loaded:
    """The options of a program called with these arguments.

    Args:
        program: the name that it was called by, with or without directories.
        arguments: what stood after it.
        etc: where the configuration files are.

    Raises:
        HelpWanted, VersionWanted: that is all that is asked for.
        ConfigError: something is wrong with the arguments, or the file.
    """
    program = os.path.basename(program)  # noqa: PTH119 - a name, not a path that is there
    line = list(scan(arguments))
    if any(each.name == "version" for each in line):
        raise VersionWanted
    values: dict[str, Any] = {"protocol": files.protocol_of(program)}
    named = [each.text for each in line if each.name == "config_file"]
    path = Path(named[-1] or "") if named else files.default_file(program, etc)
    if named and not named[-1]:
        path = None
    in_file = list(from_file(path)) if path else []
    level_values = [collect(in_file), collect(line)]
    for level in level_values:
        values |= level
    values["config_file"] = str(path or "")
    values.setdefault("pid_file", f"/var/run/{program}/{program}.pid")
    values["group"] = values.get("group") or default_group()
    masks = [0, 0, 0]
    for each in line:
        word, bit = ROWS[each.name].mask
        masks[word] |= bit
    ports = PORTS[values["protocol"]]
    for port in ("listen_port", "outgoing_port"):
        if values.get(port, DEPENDENT) == DEPENDENT:
            values[port] = ports[1] if values.get("no_lookup") else ports[0]
    options = Options(**values, program=program, masks=(masks[0], masks[1], masks[2]))
    check(options, line, in_file)
    return Loaded(options, warnings(options))


def scan(arguments: Sequence[str]) -> Iterator[Given]:
    """The options on a command line, by the rules of popt, which the original uses.

    Raises:
        HelpWanted: ``--help`` was met.
        ConfigError: an option is not known, or lacks a value, or has one too many.
    """
    rest = list(arguments)
    trailing: list[str] = []
    while rest:
        word = rest.pop(0)
        if word == "--":
            trailing += rest
            break
        if word == "-" or not word.startswith("-"):
            trailing.append(word)
            if "POSIXLY_CORRECT" in os.environ:
                trailing += rest
                break
        elif word.startswith("--"):
            name, equals, value = word[2:].partition("=")
            if name not in ROWS:
                raise wrong(f"--{name}", "unknown option")
            if ROWS[name].kind is FLAG and equals:
                raise wrong(word, "option does not take an argument")
            yield take(name, f"--{name}", value if equals else None, rest)
        else:
            yield from scan_letters(word[1:], rest)
    if trailing:
        message = "\n".join(f"options: trailing argument: {each}" for each in trailing)
        what = " ".join(trailing)
        raise ConfigError(f"{COMMAND_LINE}: {what!r}: not an option", message, usage=True)


def scan_letters(letters: str, rest: list[str]) -> Iterator[Given]:
    """The options of a word of letters: flags, and perhaps one with its value attached."""
    while letters:
        letter, letters = letters[0], letters[1:]
        if letter not in LETTERS:
            raise wrong(f"-{letter}", "unknown option")
        name = LETTERS[letter]
        if ROWS[name].kind is FLAG:
            yield take(name, f"-{letter}", None, rest)
        else:
            yield take(name, f"-{letter}", letters.removeprefix("=") if letters else None, rest)
            return


def take(name: str, written: str, value: str | None, rest: list[str]) -> Given:
    """An option with the value that is attached, or else the next word."""
    if name == "help":
        raise HelpWanted
    if ROWS[name].kind is not FLAG and value is None:
        if not rest:
            raise wrong(written, "missing argument")
        value = rest.pop(0)
    return Given(COMMAND_LINE, name, value, written)


def wrong(written: str, why: str) -> ConfigError:
    """The error about an option of the command line."""
    return ConfigError(
        f"{COMMAND_LINE}: {written}: {why}", f"options: {written}: {why}", usage=True
    )


def from_file(path: Path) -> Iterator[Given]:
    """The options in a file.

    Raises:
        ConfigError: a key is not known, or lacks a value.
    """
    for setting in files.read(path):
        where = f"{path}:{setting.line}"
        key, value = setting.key, setting.value
        name, equals, attached = key.partition("=")
        if equals and len(name) > 1:
            # The original takes "key=value" for the same reason as "--key=value".
            key, value = name, attached if value is None else f"{attached} {value}"
        name = LETTERS.get(key, "") if len(key) == 1 else key
        if name not in ROWS:
            raise ConfigError(f"{where}: {key}: unknown option")
        row = ROWS[name]
        if not row.in_file:
            continue
        if row.kind is FLAG:
            if value is not None:
                parsed = convert(Given(where, name, value, key))
                if not parsed:
                    continue
            yield Given(where, name, None, key)
        elif value is None:
            raise ConfigError(f"{where}: {key}: missing argument")
        else:
            yield Given(where, name, value, key)


def collect(given: Sequence[Given]) -> dict[str, Any]:
    """The values of one level: of the command line, or of the file.

    ConfigObj keeps them and has them checked by the kinds.

    Raises:
        ConfigError: a value is not of its option's kind.
    """
    values: dict[str, Any] = {}
    for each in given:
        value = True if ROWS[each.name].kind is FLAG else convert(each)
        name = ALIASES.get(each.name, each.name)
        merge = ROWS[name].kind.merge
        values[name] = merge(values[name], value) if merge and name in values else value
    if "capability" in values:
        for name in CAPABILITIES:
            values.setdefault(name, values["capability"])
    return values


def convert(each: Given) -> Any:
    """The value of an option that was given.

    Raises:
        ConfigError: its text is not of its kind.
    """
    row = ROWS[each.name]
    text = each.text or ""
    name = f"{row.short}|{each.name}" if row.short else each.name
    if row.kind.merge is not None or row.kind is not NUMBER:
        name = each.name if row.kind is not SECONDS else name

    def check_kind(value: str) -> Any:
        try:
            return row.kind.parse(name, value)
        except BadValue as bad:
            raise Refused(bad) from bad

    if not text and each.name in ("bind_address", "outgoing_server", "query_key"):
        return ()
    section = configobj.ConfigObj(
        {each.name: text},
        configspec=configobj.ConfigObj(
            {each.name: "kind"}, list_values=False, interpolation=False, _inspec=True
        ),
        interpolation=False,
        list_values=False,
    )
    outcome = section.validate(validate.Validator({"kind": check_kind}), preserve_errors=True)
    if outcome is True:
        return section[each.name]
    error: BadValue = outcome[each.name].args[0]
    explanation = f"{each.where}: {each.written} {text!r}: {error}"
    if each.on_command_line:
        raise ConfigError(explanation, error.message, usage=True)
    if each.name in USAGE_IN_FILE:
        raise ConfigError(explanation, error.message, usage=True)
    raise ConfigError(explanation)


def check(options: Options, line: Sequence[Given], in_file: Sequence[Given]) -> None:
    """What needs more than one option.

    Raises:
        ConfigError: they do not go together.
    """
    where = options.config_file if in_file else COMMAND_LINE
    if options.ssl_mode.is_contradictory:
        on_line = any(each.name == "ssl_mode" for each in line)
        raise ConfigError(
            f"{COMMAND_LINE if on_line else where}: ssl_mode: ssl_listen goes with no tls_listen, "
            "ssl_outgoing with no tls_outgoing",
            "invalid ssl_mode combination",
        )
    order = list(kinds_order())
    for side in ("listen", "outgoing"):
        low = getattr(options, f"ssl_{side}_min_proto_version")
        high = getattr(options, f"ssl_{side}_max_proto_version")
        if high and order.index(low) > order.index(high):
            given = [each.name for each in (*line, *in_file)]
            name = f"ssl_{side}_min_proto_version"
            if name in given:
                raise ConfigError(
                    f"{where}: {name} {low!r}: greater than ssl_{side}_max_proto_version {high!r}",
                    f"{name} is greater than ssl_{side}_max_proto_version",
                    usage=any(each.name.endswith("proto_version") for each in line),
                )
    both = {"ssl_passphrase_fd", "ssl_passphrase_file"}
    if both <= {each.name for each in (*line, *in_file)} and options.ssl_passphrase_file:
        raise ConfigError(
            f"{where}: ssl_passphrase_fd and ssl_passphrase_file: only one of them",
            "Only one of ssl_passphrase_fd and ssl_passphrase_file may be specified",
            usage=both <= {each.name for each in line},
        )


def kinds_order() -> Iterator[str]:
    """The versions of TLS, lowest first."""
    yield from ("sslv3", "tlsv1", "tlsv1.1", "tlsv1.2", "tlsv1.3")


def warnings(options: Options) -> list[str]:
    """What the operator should know of options that are accepted."""
    found = []
    for side in ("listen", "outgoing"):
        if getattr(options, f"ssl_{side}_compression"):
            found.append(f"ssl_{side}_compression has no effect: TLS does not compress any more")
        if getattr(options, f"ssl_{side}_min_proto_version") == "sslv3":
            found.append(
                f"ssl_{side}_min_proto_version sslv3: there is no SSLv3 any more; "
                "the lowest version of the library is used"
            )
    if options.effective_ssl_mode.has(SslMode.NONE) and options.effective_ssl_mode != SslMode.NONE:
        found.append("ssl_mode: none beside other modes has no effect")
    return found


__all__ = ["DEFAULTS", "Loaded", "load"]
