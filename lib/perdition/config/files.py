"""Which configuration file is read, and reading it (reference: options.md sections 3 and 4)."""

from pathlib import Path

from perdition.config import ConfigError
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
    """The protocol that a program of that name serves."""
    return PROTOCOLS.get(program, "POP3")


def default_file(program: str, etc: Path) -> Path | None:
    """The first file that is there and can be read, None where none is."""
    names = [] if program == "perdition" else [f"{program}.conf"]
    names += [f"perdition.{SUFFIXES[protocol_of(program)]}.conf", "perdition.conf"]
    for name in names:
        path = etc / name
        try:
            with path.open("rb"):
                if path.is_file():
                    return path
        except OSError:
            continue
    return None


def read(path: Path) -> list[Setting]:
    """The settings of a file.

    Raises:
        ConfigError: it cannot be read, or does not follow the grammar.
    """
    try:
        text = path.read_text(encoding="utf-8", errors="surrogateescape")
        return list(scan_settings(text))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except GrammarError as error:
        raise ConfigError(f"{path}:{error.line}: {error.why}") from error
