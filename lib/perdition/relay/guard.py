"""Looking for one command in what a client says: UNAUTHENTICATE (RFC 8437; RFC 5804, 2.14.1).

It would take the log-in back, and let the client log in as somebody else at the same real server,
past the map, the log and the bounds of the proxy.
"""

import re

# A command stands alone on its line. So may a line of a message, but how long a literal is says
# nothing here: the real server may not have taken it, and then what follows are commands.
COMMANDS = {
    "IMAP4": re.compile(rb"(?:\A|\n)[^ \r\n]+ UNAUTHENTICATE *\r*\n", re.IGNORECASE),
    # Cyrus goes on to parse in the middle of a line that it has refused, and of a word.
    "MANAGESIEVE": re.compile(rb"UNAUTHENTICATE[ \t]*\r*\n", re.IGNORECASE),
}
# So much of a line that has no end yet is kept, and one of the blanks at its end: a longer one is
# none of these commands, or its tag is longer, and the rest of it looks like one that is not.
KEPT = 256
BLANKS = b" \t\r"


class Forbidden(Exception):
    """The client has said what is not let through."""


class Guard:
    """One client's octets, looked at as they come."""

    __slots__ = ("_command", "_line")

    def __init__(self, protocol: str) -> None:
        """Look for the command of a protocol: a key of COMMANDS."""
        self._command = COMMANDS[protocol]
        self._line = b""

    def look(self, data: bytes | memoryview) -> None:
        """Look at what the client says next.

        Raises:
            Forbidden: the command is in it; none of these octets is to be handed on.
        """
        text = self._line + data
        if self._command.search(text):
            raise Forbidden
        line = text[text.rfind(b"\n") + 1 :]
        if len(line) > KEPT:
            word = line.rstrip(BLANKS)
            line = word[-KEPT:] + line[len(word) :][:1]
        self._line = line
