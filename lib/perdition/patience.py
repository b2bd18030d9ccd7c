"""How long a session that is not logged in may wait, and ending it from outside.

A thread waits for its peer without a limit of the system's: one a call would cost another system
call each time. It notes until when it wants to wait. The worker looks at these notes from time to
time and shuts down the connection of a wait that is over, which wakes the thread.
"""

import contextlib
import math
import socket
import threading
from collections.abc import Iterator
from time import monotonic

FOREVER = math.inf
# A thread that has waited for its peer so long leaves its place to another one.
SLOW_SECONDS = 0.02
# After so long others may have the place of a client that says nothing; of one that says little at
# a time, and of one that waits for a real server, which is not its own fault.
SILENT_SECONDS, LONG_SECONDS = 1.0, 10.0


class Patience:
    """What one session waits for, and until when.

    The session's thread notes, others look and end. The lock guards the descriptors: none is shut
    down once its number may be another connection's.

    Attributes:
        began: the moment when the connection did.
        since: the moment when the wait of now began, or the last one did.
        until: the moment when it is over. What has come ends no wait: the next one does, or `end`.
        deadline: the moment when all waiting is over.
        host: whose connection it is, as far as that is known.
        expired: a wait was too long.
        gave_way: others needed its place.
    """

    __slots__ = (
        *("_client", "_lock", "_peer"),
        *("began", "deadline", "expired", "gave_way", "host", "since", "until"),
    )

    def __init__(self, client: int, seconds: float) -> None:
        """Begin with the client's connection.

        Args:
            client: its descriptor.
            seconds: for all waits together, 0 for no limit.
        """
        self._client = self._peer = client
        self._lock = threading.Lock()
        self.host = ""
        self.began = self.since = monotonic()
        self.until = self.deadline = self.since + seconds if seconds else FOREVER
        self.expired = self.gave_way = False

    def begin(self, descriptor: int, seconds: float) -> bool:
        """Wait for a peer from now on, for so many seconds; 0 for no limit.

        Returns:
            Whether there is any time left.
        """
        self._peer = descriptor
        self.since = now = monotonic()
        until = now + seconds if seconds else FOREVER
        self.until = until = until if until < self.deadline else self.deadline
        return until > now

    def end(self) -> None:
        """No peer is waited for, but perhaps the resolver or a map: until the deadline."""
        self._peer, self.until = -1, self.deadline

    @property
    def is_clients(self) -> bool:
        """Whether it is the client that is waited for."""
        return -1 < self._client == self._peer

    def is_slow(self, now: float) -> bool:
        """Whether it takes so long that somebody else should serve others."""
        return now - self.since > SLOW_SECONDS or now - self.began > SILENT_SECONDS

    def may_give_way(self, now: float) -> bool:
        """Whether it waits for so long already that others may have its place.

        One that waits for the real server would only come again: where there are more of them than
        there is room for, nobody would be logged in any more. One that waits for the map or the
        resolver would keep its thread.
        """
        waited = now - self.since
        if self.gave_way or self._peer < 0:
            return False
        if self.is_clients:
            return waited > SILENT_SECONDS or now - self.began > LONG_SECONDS
        return waited > LONG_SECONDS

    def leave(self) -> None:
        """The session is logged in: nobody ends it from here any more."""
        with self._lock:
            self._client = self._peer = -1
            self.until = self.deadline = FOREVER

    def take_expired(self) -> bool:
        """Whether a wait was too long; there may be another one then."""
        expired, self.expired = self.expired, False
        return expired

    @contextlib.contextmanager
    def limited(self, seconds: float) -> Iterator[None]:
        """Let all waits of the body together take so many seconds, and no more."""
        before = self.deadline
        self.deadline = min(before, monotonic() + seconds)
        try:
            yield
        finally:
            self.until = self.deadline = before
            self.expired = False

    def check(self, now: float) -> None:
        """End a wait that is too long."""
        if now < self.until:
            return
        with self._lock:
            if now >= self.until:
                # Before the thread is woken, which goes on to note at once.
                self.expired = True
                self.until = FOREVER
                shut_down(self._client if self._peer < 0 else self._peer)

    def cut(self) -> bool:
        """End the session's connections, whatever it does now.

        Returns:
            Whether there are any that can be ended from here.
        """
        with self._lock:
            ours = {self._client, self._peer} - {-1}
            self.gave_way = bool(ours) or self.gave_way
            for descriptor in ours:
                shut_down(descriptor)
            self._client = self._peer = -1
        return bool(ours)

    def forget(self, descriptor: int) -> None:
        """A connection is about to be closed: its number may soon be another one's."""
        with self._lock:
            self._client, self._peer = (
                -1 if each == descriptor else each for each in (self._client, self._peer)
            )
            self.end()


def shut_down(descriptor: int) -> None:
    """End a connection that another thread waits on; closing it is left to that thread."""
    if descriptor < 0:
        return
    with contextlib.suppress(OSError):
        sock = socket.socket(fileno=descriptor)
        try:
            sock.shutdown(socket.SHUT_RDWR)
        finally:
            sock.detach()
