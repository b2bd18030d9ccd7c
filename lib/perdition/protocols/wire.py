"""The octets of one peer: what has come and is unread, what is said and unsent."""

from collections import deque

from perdition.protocols import Talk


class LineTooLong(Exception):
    """More octets came without an end of line than the reader accepts."""


class Wire:
    """Octets to and from one peer, without a socket.

    The session feeds it what arrives and sends what it holds; the dialogues read and say. What is
    said after `pause` waits for the pause to be over: negative answers are delayed, and what
    follows them keeps its order.
    """

    __slots__ = ("_pauses", "_secrets", "_taken", "_unread", "_unsent")

    def __init__(self, unread: bytes = b"") -> None:
        self._unread = bytearray(unread)
        self._unsent = bytearray()
        self._secrets: list[tuple[int, int]] = []
        # Where the pauses are, counted from the first octet ever said, and what was taken of these:
        # nothing is moved when something is taken, for a client can make us say a lot.
        self._pauses: deque[int] = deque()
        self._taken = 0

    def feed(self, data: bytes) -> None:
        """Add octets that have arrived."""
        self._unread += data

    def take_unread(self) -> bytes:
        """Hand over what has come and was not read: for the relay, or to be dropped before TLS."""
        data = bytes(self._unread)
        self._unread.clear()
        return data

    def take_unsent(self) -> bytes:
        """Hand over what was said since the last time, up to the next pause."""
        end = self._end()
        data = bytes(self._unsent[:end])
        del self._unsent[:end]
        self._taken += end
        if self._secrets:
            self._secrets = [
                (start - end, stop - end) for start, stop in self._secrets if stop > end
            ]
        return data

    def take_pause(self) -> bool:
        """Whether a pause comes before what `take_unsent` gives next; it is over then."""
        if self._pauses and self._pauses[0] == self._taken:
            self._pauses.popleft()
            return True
        return False

    def _end(self) -> int:
        """How many octets come before the next pause."""
        return self._pauses[0] - self._taken if self._pauses else len(self._unsent)

    @property
    def has_unsent(self) -> bool:
        """Whether something is to be sent or waited for."""
        return bool(self._unsent or self._pauses)

    def shown(self) -> bytes:
        """What `take_unsent` will give, with secrets as asterisks: for the log."""
        data = bytes(self._unsent[: self._end()])
        for start, end in reversed(self._secrets):
            if end <= len(data):
                data = data[:start] + b"********" + data[end:]
        return data

    def say(self, line: bytes, *, secret: bool = False) -> None:
        """Say a line; its ending is added here.

        Args:
            line: without CRLF.
            secret: it holds a password, and is not shown in a log.
        """
        start = len(self._unsent)
        self._unsent += line
        if secret:
            self._secrets.append((start, len(self._unsent)))
        self._unsent += b"\r\n"

    def pause(self, times: int = 1) -> None:
        """Delay what is said next by so many times `failure_delay`."""
        self._pauses.extend([self._taken + len(self._unsent)] * times)

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
        unread = self._unread
        looked = 0
        while (end := unread.find(b"\n", looked)) < 0:
            looked = len(unread)
            if looked > limit:
                raise LineTooLong
            yield
        if end > limit:
            raise LineTooLong
        line = bytes(unread[:end])
        del unread[: end + 1]
        return line.replace(b"\r", b"") if b"\r" in line else line

    def read_exactly(self, size: int) -> Talk[bytes]:
        """Wait for size octets, whatever they are, and return them.

        Args:
            size: how many; whoever calls has checked it against a limit.

        Returns:
            The octets.
        """
        while len(self._unread) < size:
            yield
        data = bytes(self._unread[:size])
        del self._unread[:size]
        return data
