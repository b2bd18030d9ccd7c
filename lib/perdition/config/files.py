"""Which configuration file is read, and reading it."""

from collections.abc import Iterator
from pathlib import Path

from perdition.config import ConfigError
from perdition.config.kinds import FLAG, BadValue
from perdition.config.options import LETTERS, ROWS
from perdition.config.settings import Given, unknown
from perdition.grammar import GrammarError, Setting, scan_settings

SUFFIXES = {
    "POP3": "pop3",
    "POP3S": "pop3s",
    "IMAP4": "imap4",
    "IMAP4S": "imap4s",
    "MANAGESIEVE": "managesieve",
}
PROTOCOLS = {f"perdition.{suffix}": protocol for protocol, suffix in SUFFIXES.items()} | {
    "perdition.imaps": "IMAP4S"
}


def protocol_of(program: str) -> str:
    """Name the protocol that a program of that name serves."""
    return PROTOCOLS.get(program, "POP3")


def default_file(program: str, etc: Path) -> Path | None:
    """Find the first file that is there and can be read; None where none is."""
    names = [] if program == "perdition" else [f"{program}.conf"]
    names += [f"perdition.{SUFFIXES[protocol_of(program)]}.conf", "perdition.conf"]
    for name in names:
        path = etc / name
        try:
            # Not opened before it is known to be a file: a pipe would wait for its writer.
            if path.is_file():
                path.open("rb").close()
                return path
        except OSError:
            continue
    return None


def read(path: Path) -> list[Setting]:
    """Read a file.

    Raises:
        ConfigError: it cannot be read, or does not follow the grammar.
    """
    try:
        text = path.read_bytes().decode("utf-8", "surrogateescape")
        return list(scan_settings(text))
    except OSError as error:
        raise ConfigError(f"config_file {str(path)!r}: {error.strerror}") from error
    except GrammarError as error:
        raise ConfigError(f"{path}:{error.line}: {error.why}") from error


def settings_in(path: Path) -> Iterator[Given]:
    """Read the options in a file; those that belong on the command line are left out.

    Raises:
        ConfigError: it cannot be read, or a key is not known, or lacks a value.
    """
    for number, written, rest in read(path):
        where = f"{path}:{number}"
        key, value = written, rest
        attached_to, equals, attached = written.partition("=")
        if equals and attached_to in ROWS:
            # 2.2 puts -- before the key, and so takes key=value; what follows is one too many.
            key, value = attached_to, attached
            if rest is not None:
                raise ConfigError(
                    f"{where}: {rest!r}: {key} has its value already",
                    f"options: trailing argument: {rest}",
                    usage=True,
                )
        name = LETTERS.get(key, key)
        if name not in ROWS:
            raise unknown(where, written, name)
        if not ROWS[name].in_file:
            continue
        if ROWS[name].kind is FLAG and equals:
            check_flag(where, written, name, attached)
        if value is None and ROWS[name].kind is not FLAG:
            raise ConfigError(f"{where}: {written}: missing argument")
        yield Given(where, name, "yes" if value is None else value)


def check_flag(where: str, written: str, name: str, value: str) -> None:
    """Check what stands behind a flag and ``=``, of which 2.2 says something else than of a word.

    Raises:
        ConfigError: it is neither yes nor no.
    """
    try:
        FLAG.parse(value)
    except BadValue as bad:
        raise ConfigError(
            f"{where}: {name} {value!r}: {bad}",
            f"options: --{written}: option does not take an argument",
        ) from bad
