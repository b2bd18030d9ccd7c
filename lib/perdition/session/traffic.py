"""The traffic log: what goes over a connection, without passwords (reference: logging.md 6)."""

import re
from collections.abc import Callable

from perdition import logs
from perdition.logs import Log

# A client's lines that are shown in the traffic log; any other one may hold a password.
HARMLESS = re.compile(
    rb"(?!PASS )(?:\S+ )?(?:CAPABILITY|NOOP|LOGOUT|STARTTLS|STLS|CAPA|QUIT|USER \S*)\r?\n?",
    re.IGNORECASE,
)
# Lines of a real server that may be its part of an exchange: with the words of SCRAM, passwords can
# be guessed without asking anybody.
CHALLENGE = re.compile(rb'\+(?!OK)|["{]|OK \(', re.IGNORECASE)
LITERAL_AHEAD = re.compile(rb"\{\d+\+?\}\r?\n")


def traffic(log: Log, tag: str) -> Callable[[bytes], None]:
    """Logs what goes over a connection (reference: logging.md section 6)."""
    return lambda data: log.debug(f'{tag} "{logs.show_data(data)}"')


def client_traffic(log: Log) -> Callable[[bytes], None]:
    """The same for what a client says before it is logged in: without what may be a password."""
    return _veiled(log, "CLIENT:", lambda line: HARMLESS.fullmatch(line) is not None)


def exchange_traffic(log: Log, tag: str) -> Callable[[bytes], None]:
    """The same for a real server that ends a client's exchange: without its words in it."""
    return _veiled(log, tag, lambda line: not CHALLENGE.match(line))


def _veiled(log: Log, tag: str, is_shown: Callable[[bytes], bool]) -> Callable[[bytes], None]:
    """Logs what goes over a connection, of its lines those that can be shown.

    The end of a line that has begun before, and what follows the size of a literal, may be secret
    whatever it looks like.
    """
    at_start = True

    def shown(data: bytes) -> None:
        nonlocal at_start
        parts = []
        for line in data.splitlines(keepends=True):
            parts.append(line if at_start and is_shown(line) else b"********")
            at_start = line.endswith(b"\n") and not LITERAL_AHEAD.search(line)
        log.debug(f'{tag} "{logs.show_data(b"".join(parts))}"')

    return shown
