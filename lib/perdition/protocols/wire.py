"""The octets of one peer: what has come and is unread, what is said and unsent."""

import itertools
from collections import deque

from perdition.protocols import Talk

# Octets of a line of any protocol, unless a mechanism has longer ones. RFC 2449 section 4 has 255
# for a command of POP3; people's passwords are longer.
LINE_LIMIT = 16384


class LineTooLong(Exception):
    """More octets came without an end of line than the reader accepts."""


class Secret(bytes):
    """A line that holds a password, and is not shown anywhere."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "Secret()"


class Wire:
    """Octets to and from one peer, without a socket.

    The session feeds it what arrives and sends what it holds; the dialogues read and say. What is
    said after `pause` waits for the pause to be over: negative answers are delayed, and what
    follows them keeps its order.

    Attributes:
        unsent: lines that are said and were not taken yet, and None for each pause.
    """

    __slots__ = ("_at", "_pauses", "_unread", "unsent")

    def __init__(self, unread: bytes = b"") -> None:
        self._unread = unread
        # How much of that has been read.
        self._at = 0
        self.unsent: deque[bytes | None] = deque()
        self._pauses = 0

    def feed(self, data: bytes) -> None:
        """Add octets that have arrived."""
        self._unread = self._unread[self._at :] + data if self._at < len(self._unread) else data
        self._at = 0

    def take_unread(self) -> bytes:
        """Hand over what has come and was not read: for the relay, or to be dropped before TLS."""
        data = self._unread[self._at :]
        self._unread, self._at = b"", 0
        return data

    def take_unsent(self) -> bytes:
        """Hand over what was said since the last time, up to the next pause."""
        unsent = self.unsent
        if self._pauses:
            parts = self._until_pause()
            for _ in parts:
                unsent.popleft()
        else:
            parts = list(unsent)  # type: ignore[arg-type]
            unsent.clear()
        if not parts:
            return b""
        parts.append(b"")
        return b"\r\n".join(parts)

    def take_pause(self) -> bool:
        """Whether a pause comes before what `take_unsent` gives next; it is over then."""
        if self._pauses and self.unsent[0] is None:
            self.unsent.popleft()
            self._pauses -= 1
            return True
        return False

    def _until_pause(self) -> list[bytes]:
        """The lines before the next pause."""
        return list(itertools.takewhile(_is_line, self.unsent))  # type: ignore[arg-type]

    def shown(self) -> bytes:
        """What `take_unsent` will give, with secrets as asterisks: for the log."""
        return b"".join(
            (b"********" if isinstance(each, Secret) else each) + b"\r\n"
            for each in self._until_pause()
        )

    def say(self, line: bytes, *, secret: bool = False) -> None:
        """Say a line; its ending is added here.

        Args:
            line: without CRLF.
            secret: it holds a password, and is not shown in a log.
        """
        self.unsent.append(Secret(line) if secret else line)

    def pause(self, times: int = 1) -> None:
        """Delay what is said next by so many times `failure_delay`."""
        self.unsent.extend([None] * times)
        self._pauses += times

    def read_line(self, limit: int) -> Talk[bytes]:
        """Wait for a line and return it without its ending.

        Lines end with LF, and CR is dropped wherever it stands, as in 2.2: peers take a CR by
        itself for the end of a line, or do not. RFC 1939 section 3 and RFC 9051 section 2.2 ask
        for CRLF, but clients that send a bare LF exist.

        Args:
            limit: most octets accepted before the LF.

        Returns:
            The line: any octets but LF, perhaps none (b"").

        Raises:
            LineTooLong: more than limit octets came without a LF. Nothing that follows
                can be told from the line any more: close the connection.
        """
        looked = 0
        while (end := self._unread.find(b"\n", self._at + looked)) < 0:
            looked = len(self._unread) - self._at
            if looked > limit:
                raise LineTooLong
            yield
        start, self._at = self._at, end + 1
        if end - start > limit:
            raise LineTooLong
        return self._unread[start:end].replace(b"\r", b"")

    def read_exactly(self, size: int) -> Talk[bytes]:
        """Wait for size octets, whatever they are, and return them.

        Args:
            size: how many; whoever calls has checked it against a limit.

        Returns:
            The octets.
        """
        while len(self._unread) - self._at < size:
            yield
        start = self._at
        self._at += size
        return self._unread[start : self._at]


def _is_line(part: bytes | None) -> bool:
    return part is not None
