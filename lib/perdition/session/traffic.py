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
LITERAL_AHEAD = re.compile(rb"\{\d+\+?\}\r?\n")


def traffic(log: Log, tag: str) -> Callable[[bytes], None]:
    """Logs what goes over a connection (reference: logging.md section 6)."""
    return lambda data: log.debug(f'{tag} "{logs.show_data(data)}"')


def client_traffic(log: Log) -> Callable[[bytes], None]:
    """The same for what a client says before it is logged in: without what may be a password.

    The end of a line that has begun before, and what follows the size of a literal, may be one
    whatever it looks like.
    """
    at_start = True

    def shown(data: bytes) -> None:
        nonlocal at_start
        parts = []
        for line in data.splitlines(keepends=True):
            parts.append(line if at_start and HARMLESS.fullmatch(line) else b"********")
            at_start = line.endswith(b"\n") and not LITERAL_AHEAD.search(line)
        log.debug(f'CLIENT: "{logs.show_data(b"".join(parts))}"')

    return shown
