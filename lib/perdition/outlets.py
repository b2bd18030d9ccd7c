"""Log lines for somebody who may not read them: syslog, a pipe. No session waits for that."""

import contextlib
import os
import select
import socket
import stat
import threading
from collections import deque
from collections.abc import Callable
from typing import Protocol

SYSLOG = "/dev/log"
# Lines that are kept while nobody reads them.
MOST_LINES = 10_000


class Outlet(Protocol):
    """Who is told the lines."""

    def offer(self, line: bytes, /) -> None:
        """Tell a line at once.

        Raises:
            BlockingIOError: there is no room for it now.
            OSError: nobody is there.
        """

    def send(self, line: bytes, /) -> None:
        """Tell a line, and wait until there is room for it.

        Raises:
            OSError: nobody is there.
        """


class Syslog:
    """The socket of syslog: a datagram a line, with its priority before it (RFC 3164)."""

    def __init__(self) -> None:
        self._sock: socket.socket | None = None

    def offer(self, line: bytes) -> None:
        self._send(line, socket.MSG_DONTWAIT)

    def send(self, line: bytes) -> None:
        self._send(line, 0)

    def close(self) -> None:
        """Close the socket; it is made anew for the next line."""
        sock, self._sock = self._sock, None
        if sock is not None:
            sock.close()

    def _send(self, line: bytes, flags: int) -> None:
        sock = self._sock
        if sock is None:
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            try:
                sock.connect(SYSLOG)
            except BaseException:
                sock.close()
                raise
            self._sock = sock
        try:
            sock.send(line, flags)
        except BlockingIOError:
            raise
        except OSError:
            # It was started anew: there is another one of that name. The socket stays, for another
            # thread may be about to send on its number.
            sock.connect(SYSLOG)
            sock.send(line, flags)


class Stream:
    """A pipe, a terminal or the like."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._blocks = os.get_blocking(descriptor)

    def offer(self, line: bytes) -> None:
        # As much as a pipe that has any room has room for, and takes as a whole (pipe(7)).
        if len(line) > select.PIPE_BUF or (self._blocks and not self._has_room()):
            raise BlockingIOError
        os.write(self._descriptor, line)

    def send(self, line: bytes) -> None:
        while line:
            self._has_room(wait=True)
            with contextlib.suppress(BlockingIOError):
                line = line[os.write(self._descriptor, line) :]

    def _has_room(self, *, wait: bool = False) -> bool:
        """Whether there is some room; or wait until there is."""
        # One for all threads could be used by one at a time.
        poll = select.poll()
        poll.register(self._descriptor, select.POLLOUT)
        return bool(poll.poll(None if wait else 0))


def own_pipe(descriptor: int) -> int:
    """A descriptor of the same pipe that does not block, whatever others do with theirs.

    Between looking whether a pipe has room and writing to it, another process may fill it.

    Returns:
        A new descriptor, or the one given where it is no pipe, or there is no other to be had.
    """
    if not stat.S_ISFIFO(os.fstat(descriptor).st_mode):
        return descriptor
    try:
        return os.open(f"/proc/self/fd/{descriptor}", os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        return descriptor


class Backlog:
    """The lines of an outlet that has no room for them, in order, and a thread that waits for it.

    A lock guards it, not the outlet.
    """

    def __init__(self, outlet: Outlet, tell_lost: Callable[[int], None]) -> None:
        """None yet.

        Args:
            outlet: who is told the lines.
            tell_lost: called with the number of lines that were left out, after the last of those
                that were kept.
        """
        self._outlet = outlet
        self._tell_lost = tell_lost
        self.begin_process()

    def begin_process(self) -> None:
        """In a new process: what waits is its parent's."""
        self._lines: deque[bytes] = deque()
        # In inetd mode the handler of a signal logs, whatever its thread does just then.
        self._lock = threading.RLock()
        self._is_waiting = False
        self._lost = 0

    def put(self, line: bytes) -> None:
        """Tell a line: at once where there is room, and else later.

        Raises:
            OSError: nobody is there.
        """
        if not (self._is_waiting or self._lines):
            try:
                self._outlet.offer(line)
            except BlockingIOError:
                pass
            else:
                return
        with self._lock:
            if len(self._lines) >= MOST_LINES:
                self._lost += 1
                return
            self._lines.append(line)
            if self._is_waiting:
                return
            self._is_waiting = True
        try:
            threading.Thread(target=self._wait, name="log", daemon=True).start()
        except RuntimeError:
            # There is no thread to be had. The next line tries it again.
            self._is_waiting = False

    def _wait(self) -> None:
        while True:
            with self._lock:
                if not self._lines:
                    self._is_waiting = False
                    lost, self._lost = self._lost, 0
                    break
                line = self._lines.popleft()
            try:
                self._outlet.send(line)
            except OSError:
                with self._lock:
                    self._lost += 1
        if lost:
            self._tell_lost(lost)
