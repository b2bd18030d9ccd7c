"""The relay: one loop over the established sessions of a worker.

It moves octets both ways and does not look into them. A peer that does not read stops the reading
from the other one; a peer that has ended its side is given what is on its way, and time to get the
rest; a session that is idle for too long is ended.
"""

import contextlib
import heapq
import os
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable

from perdition import logs
from perdition.logs import Log, Who
from perdition.relay.pipe import Pipe

# Octets read at a time: whole TLS records, so that none stays hidden in the library.
READ_SIZE = 65536
# How long a session lives on when one side has ended and nothing moves.
HALF_CLOSED_SECONDS = 10
READ, WRITE = select.EPOLLIN, select.EPOLLOUT
WOULD_BLOCK = (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class End:
    """One peer of a session."""

    __slots__ = ("events", "fd", "incoming", "other", "outgoing", "relayed", "sock")

    def __init__(self, sock: socket.socket, relayed: "Relayed", early: bytes) -> None:
        """A peer; early is what came from the other one before."""
        self.sock = sock
        self.fd = sock.fileno()
        self.relayed = relayed
        self.outgoing = Pipe(early)
        self.incoming: Pipe
        self.other: End
        self.events = 0


class Relayed:
    """An established session: two ends and what the log says of it."""

    __slots__ = ("active", "auth_line", "client", "due", "is_open", "relog", "server", "who")

    def __init__(
        self,
        client: socket.socket,
        server: socket.socket,
        to_server: bytes,
        to_client: bytes,
        who: Who,
        auth_line: str,
    ) -> None:
        self.client = End(client, self, to_client)
        self.server = End(server, self, to_server)
        self.client.other, self.server.other = self.server, self.client
        self.client.incoming, self.server.incoming = self.server.outgoing, self.client.outgoing
        self.who = who
        self.auth_line = auth_line
        self.active = self.relog = time.monotonic()
        self.due = 0
        self.is_open = True

    @property
    def has_ended_side(self) -> bool:
        """Whether one of the peers has nothing more to say."""
        return self.client.incoming.source_ended or self.server.incoming.source_ended


class Timetable:
    """Sessions by the second in which something has to be done about them.

    What is waiting is never gone through: a session that ends leaves its second.
    """

    def __init__(self) -> None:
        self._seconds: dict[int, set[Relayed]] = {}
        self._order: list[int] = []

    def put(self, relayed: Relayed, moment: float) -> None:
        """Note that session for a moment."""
        second = int(moment) + 1
        relayed.due = second
        if second not in self._seconds:
            self._seconds[second] = set()
            heapq.heappush(self._order, second)
        self._seconds[second].add(relayed)

    def drop(self, relayed: Relayed) -> None:
        """Forget a session."""
        if relayed.due in self._seconds:
            self._seconds[relayed.due].discard(relayed)

    def next(self) -> float | None:
        """The moment of the next ones, None where there are none."""
        while self._order and not self._seconds[self._order[0]]:
            del self._seconds[heapq.heappop(self._order)]
        return self._order[0] if self._order else None

    def take(self, now: float) -> Iterable[Relayed]:
        """Take the sessions whose moment has come."""
        due: list[Relayed] = []
        while self._order and self._order[0] <= now:
            due += self._seconds.pop(heapq.heappop(self._order))
        return due


class Relay:
    """The loop. `add` may be called by any thread; everything else is the loop's own.

    A lock guards the timetable and the table of ends.
    """

    def __init__(
        self,
        log: Log,
        *,
        timeout: int,
        relog: int,
        traffic: bool = False,
        timeout_line: bytes = b"",
        ended: Callable[[], None] = lambda: None,
    ) -> None:
        """A relay without sessions.

        Args:
            log: where the lines about sessions go.
            timeout: idle seconds after which a session is ended, 0 for never.
            relog: seconds after which the line of the log-in is logged again, 0 for never.
            traffic: log what is read from the peers.
            timeout_line: said to a client whose session was idle for too long.
            ended: called after each session that has ended.
        """
        self.log = log
        self.timeout = timeout
        self.relog = relog
        self.traffic = traffic
        self.timeout_line = timeout_line
        self.ended = ended
        self._epoll = select.epoll()
        self._ends: dict[int, End] = {}
        self._timetable = Timetable()
        self._lock = threading.Lock()
        self._buffer = bytearray(READ_SIZE)
        self._view = memoryview(self._buffer)
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._epoll.register(self._wake_read, READ)
        self._stopped = False

    def __len__(self) -> int:
        return len(self._ends) // 2

    def add(
        self,
        client: socket.socket,
        server: socket.socket,
        *,
        to_server: bytes = b"",
        to_client: bytes = b"",
        who: Who,
        auth_line: str,
    ) -> None:
        """Take over a session that is logged in.

        Args:
            client: a connection, the relay's from now on.
            server: the other one.
            to_server: what came early from the client.
            to_client: what came early from the real server.
            who: whose session it is.
            auth_line: the line to log again.
        """
        client.setblocking(False)
        server.setblocking(False)
        relayed = Relayed(client, server, to_server, to_client, who, auth_line)
        with self._lock:
            first = self._timetable.next() is None
            self._schedule(relayed)
            for end in (relayed.client, relayed.server):
                end.events = READ | (WRITE if end.outgoing.wants_write else 0)
                self._epoll.register(end.fd, end.events)
            # Only now does the loop know them: it must not change what it waits for on one of
            # them before both are registered. Until then it sees their events, and passes on.
            for end in (relayed.client, relayed.server):
                self._ends[end.fd] = end
        if first:
            self.wake()

    def wake(self) -> None:
        """Let the loop look at its timetable again."""
        with contextlib.suppress(BlockingIOError):
            os.write(self._wake_write, b"\0")

    def stop(self) -> None:
        """Make `run` return, soon."""
        self._stopped = True
        self.wake()

    def run(self, *, until_empty: bool = False) -> None:
        """Relay until stopped, or, if asked for, until the last session has ended."""
        while not self._stopped and not (until_empty and not self._ends):
            for fd, events in self._epoll.poll(self._patience()):
                if fd == self._wake_read:
                    os.read(fd, 4096)
                    continue
                end = self._ends.get(fd)
                if end is not None:
                    self._serve(end, events)
            self._keep_time(time.monotonic())

    def close_all(self) -> None:
        """End every session, and say so in the log."""
        for end in list(self._ends.values()):
            if end.relayed.is_open:
                self._finish(end.relayed)

    def _patience(self) -> float | None:
        with self._lock:
            moment = self._timetable.next()
        return None if moment is None else max(moment - time.monotonic(), 0)

    def _serve(self, end: End, events: int) -> None:
        """Do what a peer is ready for."""
        relayed = end.relayed
        try:
            if events & ~READ and end.events & WRITE:
                self._write(end)
            if events & ~WRITE and end.incoming.wants_read:
                self._read(end)
            if relayed.client.incoming.ended and relayed.server.incoming.ended:
                self._finish(relayed)
                return
            for each in (end, end.other):
                self._interest(each)
        except WOULD_BLOCK:
            for each in (end, end.other):
                self._interest(each)
        except (OSError, ValueError):
            if relayed.has_ended_side:
                # One side had gone already; that the other one cannot be served is no wonder.
                self._finish(relayed)
                return
            self.log.error("Fatal error piping data. Exiting child.")
            self._remove(relayed)

    def _read(self, end: End) -> None:
        """Read from a peer, and hand on what it gave."""
        pipe = end.incoming
        try:
            count = end.sock.recv_into(self._buffer)
        except ssl.SSLZeroReturnError:
            count = 0
        except ssl.SSLEOFError:
            count = 0
        if not count:
            pipe.source_ended = True
            self._pass_end(end.other)
            end.relayed.active = time.monotonic()
            with self._lock:
                self._timetable.drop(end.relayed)
                self._schedule(end.relayed)
            return
        pipe.total += count
        end.relayed.active = time.monotonic()
        if self.traffic:
            tag = "CLIENT:" if end is end.relayed.client else "REAL:  "
            self.log.debug(f'{tag} "{logs.show_data(bytes(self._view[:count]))}"')
        try:
            sent = end.other.sock.send(self._view[:count])
        except WOULD_BLOCK:
            sent = 0
        if sent < count:
            pipe.received(bytes(self._view[sent:count]))

    def _write(self, end: End) -> None:
        """Give a peer more of what is pending for it."""
        pipe = end.outgoing
        if pipe.wants_write:
            pipe.sent(end.sock.send(pipe.pending()))
            end.relayed.active = time.monotonic()
        if not pipe.wants_write and pipe.source_ended:
            self._pass_end(end)

    def _pass_end(self, end: End) -> None:
        """Tell a peer that the other one has ended, when it has got everything."""
        pipe = end.outgoing
        if pipe.wants_write or pipe.ended:
            return
        pipe.ended = True
        if isinstance(end.sock, ssl.SSLSocket):
            close_notify(end.sock)
            return
        with contextlib.suppress(OSError):
            end.sock.shutdown(socket.SHUT_WR)

    def _interest(self, end: End) -> None:
        """Wait for what is wanted of a peer."""
        wanted = 0
        if end.incoming.wants_read:
            wanted |= READ
        if end.outgoing.wants_write:
            wanted |= WRITE
        if wanted == end.events or not end.relayed.is_open:
            return
        if not wanted:
            # Else the loop would hear again and again that the peer has gone.
            self._epoll.unregister(end.fd)
        elif end.events:
            self._epoll.modify(end.fd, wanted)
        else:
            self._epoll.register(end.fd, wanted)
        end.events = wanted

    def _schedule(self, relayed: Relayed) -> None:
        """Note when something has to be done about a session; the lock is held."""
        moments = []
        idle = self._idle_limit(relayed)
        if idle:
            moments.append(relayed.active + idle)
        if self.relog:
            moments.append(relayed.relog + self.relog)
        if moments:
            self._timetable.put(relayed, min(moments))

    def _idle_limit(self, relayed: Relayed) -> int:
        return HALF_CLOSED_SECONDS if relayed.has_ended_side else self.timeout

    def _keep_time(self, now: float) -> None:
        """Do what the timetable says."""
        with self._lock:
            due = self._timetable.take(now)
        for relayed in due:
            if not relayed.is_open:
                continue
            idle = self._idle_limit(relayed)
            if idle and now >= relayed.active + idle:
                if not relayed.has_ended_side:
                    self.log.info("Timeout piping data.")
                    self._say_timeout(relayed.client)
                self._finish(relayed)
                continue
            if self.relog and now >= relayed.relog + self.relog:
                relayed.relog = now
                self.log.notice(relayed.auth_line)
            with self._lock:
                self._schedule(relayed)

    def _say_timeout(self, client: End) -> None:
        """Tell the client why we close, where its protocol has words for that."""
        if self.timeout_line and not client.outgoing.wants_write:
            with contextlib.suppress(OSError):
                client.sock.send(self.timeout_line)

    def _finish(self, relayed: Relayed) -> None:
        """A session has ended in order."""
        received, sent = relayed.server.outgoing.total, relayed.client.outgoing.total
        self._remove(relayed)
        self.log.info(logs.closing(relayed.who, received, sent))

    def _remove(self, relayed: Relayed) -> None:
        """Let go of a session's connections."""
        relayed.is_open = False
        with self._lock:
            self._timetable.drop(relayed)
            for end in (relayed.client, relayed.server):
                self._ends.pop(end.fd, None)
                with contextlib.suppress(OSError):
                    self._epoll.unregister(end.fd)
        for end in (relayed.client, relayed.server):
            if isinstance(end.sock, ssl.SSLSocket) and not end.outgoing.ended:
                close_notify(end.sock)
            end.sock.close()
        self.ended()


def close_notify(sock: ssl.SSLSocket) -> None:
    """Tell a TLS peer that nothing more comes (RFC 8446 section 6.1), without waiting."""
    with contextlib.suppress(OSError, ValueError):
        sock.unwrap()
