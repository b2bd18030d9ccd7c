"""The relay: one loop over the established sessions of a worker.

It moves octets both ways and does not look into them. A peer that does not read stops the reading
from the other one; a peer that has ended its side is given what is on its way, and time to get the
rest; a session that is idle for too long is ended.
"""

import contextlib
import math
import os
import select
import socket
import threading
from collections.abc import Callable
from time import monotonic

from perdition import logs
from perdition.logs import Log, Who
from perdition.relay.ends import WOULD_BLOCK, End, Relayed
from perdition.relay.guard import Forbidden, Guard
from perdition.relay.pipe import LARGE, MUCH
from perdition.relay.splice import Splice
from perdition.relay.timetable import Timetable
from perdition.tls.stream import RECORD_SIZE, Stream

# Peers that are heard at a time.
MOST_EVENTS = 256
# How long the loop waits at most: a session that was added may be due before the one known last.
TICK = 1.0
READ, WRITE = int(select.EPOLLIN), int(select.EPOLLOUT)


class Relay:
    """The loop. `add` may be called by any thread; everything else is the loop's own.

    A lock guards the timetable and the table of ends.

    Attributes:
        has_broken_off: a session has ended by an error.
    """

    def __init__(
        self,
        log: Log,
        *,
        timeout: int,
        relog: int,
        traffic: bool = False,
        timeout_line: bytes = b"",
        forbidden_line: bytes = b"",
        ended: Callable[[], None] = lambda: None,
    ) -> None:
        """A relay without sessions.

        Args:
            log: where the lines about sessions go.
            timeout: idle seconds after which a session is ended, 0 for never.
            relog: seconds after which the line of the log-in is logged again, 0 for never.
            traffic: log what is read from the peers.
            timeout_line: said to a client whose session was idle for too long.
            forbidden_line: said to a client that said what its guard does not let through.
            ended: called after each session that has ended.
        """
        self.log = log
        self.timeout = timeout
        self.relog = relog
        self.traffic = traffic
        self.timeout_line = timeout_line
        self.forbidden_line = forbidden_line
        self.ended = ended
        self._epoll = select.epoll()
        self._ends: dict[int, End] = {}
        self._timetable = Timetable()
        self._lock = threading.Lock()
        # With room for a record the first part of which was read before.
        self._view = memoryview(bytearray(LARGE + 2 * RECORD_SIZE))
        self._raw = memoryview(bytearray(LARGE))
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._epoll.register(self._wake_read, READ)
        self._splice = Splice()
        self._stopped = False
        self.has_broken_off = False
        self._now = monotonic()

    def __len__(self) -> int:
        return len(self._ends) // 2

    def add(
        self,
        client: socket.socket,
        server: socket.socket,
        *,
        client_tls: Stream | None = None,
        server_tls: Stream | None = None,
        answer: bytes = b"",
        to_server: bytes = b"",
        to_client: bytes = b"",
        who: Who,
        auth_line: str,
        guard: Guard | None = None,
    ) -> None:
        """Take over a session that is logged in.

        Args:
            client: a connection, the relay's from now on.
            server: the other one.
            client_tls: TLS with the client, where that is spoken.
            server_tls: the same with the real server.
            answer: what the client is told first: that it is logged in.
            to_server: what came early from the client.
            to_client: what came early from the real server.
            who: whose session it is.
            auth_line: the line to log again.
            guard: looks at what the client says, where somebody has to.

        Raises:
            OSError: the system cannot wait for so many; the connections are the caller's again.
        """
        relayed = Relayed(
            (client, client_tls), (server, server_tls), who, auth_line, monotonic(), guard
        )
        relayed.client.outgoing.total = len(to_client)
        relayed.server.outgoing.total = len(to_server)
        if answer or to_client:
            relayed.client.say_first(answer + to_client)
        if to_server:
            relayed.server.say_first(to_server)
        ends = relayed.server, relayed.client
        # The loop waits for this lock when it sees a peer that it does not know yet. It knows none
        # before both are registered: for it may change what it waits for on either.
        with self._lock:
            for end in ends:
                end.events = READ | (WRITE if end.outgoing.pending else 0)
                self._epoll.register(end.fd, end.events)
            self._schedule(relayed)
            for end in ends:
                self._ends[end.fd] = end

    def stop(self) -> None:
        """Make `run` return, soon."""
        self._stopped = True
        with contextlib.suppress(BlockingIOError):
            os.write(self._wake_write, b"\0")

    def run(self, *, until_empty: bool = False) -> None:
        """Relay until stopped, or, if asked for, until the last session has ended."""
        poll, ends = self._epoll.poll, self._ends
        due = now = self._now
        while not self._stopped and not (until_empty and not ends):
            ready = poll(due - now, MOST_EVENTS)
            now = self._now = monotonic()
            for fd, events in ready:
                try:
                    end = ends[fd]
                except KeyError:
                    if (newcomer := self._newcomer(fd)) is None:
                        continue
                    end = newcomer
                try:
                    if events == READ and not end.incoming.pending:
                        self._pass_on(end)
                    else:
                        self._serve(end, events)
                except Exception as error:  # noqa: BLE001 - it must end this session only
                    self._fail(end.relayed, error)
            if now >= due:
                due = max(self._keep_time(now), now)

    def close_all(self) -> None:
        """End every session, and say so in the log; the loop has stopped before."""
        for end in list(self._ends.values()):
            if end.relayed.is_open:
                self._finish(end.relayed)
        self._splice.close()

    def _newcomer(self, fd: int) -> End | None:
        """A peer that is being added; None for one that has gone, or for the wake-up."""
        with self._lock:
            return self._ends.get(fd)

    def _pass_on(self, end: End) -> None:
        """Read from a peer, nothing of which is pending, and hand on what it gave."""
        pipe = end.incoming
        try:
            count = self._splice_on(end) if pipe.is_spliced else end.hand_on(self._view, self._raw)
        except WOULD_BLOCK:
            if end.outgoing.pending:
                # TLS has something to say by itself that the peer does not take.
                self._interest(end)
            return
        except (OSError, ValueError):
            self._break_off(end.relayed)
            return
        except Forbidden:
            self._turn_out(end.relayed)
            return
        if not count:
            self._note_end(end)
            return
        pipe.total += count
        end.relayed.active = self._now
        if self.traffic:
            self._show(end, count)
        if count >= MUCH or pipe.pending or pipe.is_spliced or end.outgoing.pending:
            self._adjust(end, count)

    def _splice_on(self, end: End) -> int:
        """Do as `End.hand_on` does, in the kernel.

        Urgent data (RFC 9293 section 3.8.5) stops splice(), which says then that there is nothing,
        or that the peer has ended: recv() knows better.
        """
        pipe = end.incoming
        count = 0
        with contextlib.suppress(BlockingIOError):
            count, pipe.pending = self._splice.move(end.fd, end.other.fd)
        if count:
            return count
        pipe.reads_less()
        return end.hand_on(self._view, self._raw)

    def _adjust(self, end: End, count: int) -> None:
        """See to it that a peer, which gave so much, is read as fast as the other one takes it."""
        pipe = end.incoming
        if pipe.pending:
            pipe.reads_less()
            self._interest(end.other)
        elif count < MUCH:
            pipe.reads_less()
        elif pipe.size < LARGE:
            pipe.size = LARGE
            pipe.is_spliced = end.is_plain and end.other.is_plain and not self.traffic
            if pipe.is_spliced:
                end.sock.setblocking(False)
                end.other.sock.setblocking(False)
        self._interest(end)

    def _serve(self, end: End, events: int) -> None:
        """Do what a peer is ready for: anything but the usual."""
        relayed = end.relayed
        try:
            if events & ~READ and end.events & WRITE:
                self._write(end)
        except WOULD_BLOCK:
            return
        except (OSError, ValueError):
            self._break_off(relayed)
            return
        if events & ~WRITE and end.incoming.wants_read:
            self._pass_on(end)
        if relayed.is_open:
            self._interest(end)
            self._interest(end.other)

    def _show(self, end: End, count: int) -> None:
        """The traffic log."""
        tag = "CLIENT:" if end is end.relayed.client else "REAL:  "
        self.log.debug(f'{tag} "{logs.show_data(bytes(self._view[:count]))}"')

    def _write(self, end: End) -> None:
        """Give a peer more of what is pending for it."""
        pipe = end.outgoing
        if pipe.pending:
            end.resume()
            end.relayed.active = self._now
        if not pipe.pending and pipe.source_ended:
            self._pass_end(end)

    def _note_end(self, end: End) -> None:
        """A peer has ended its side."""
        relayed = end.relayed
        end.incoming.source_ended = True
        relayed.active = self._now
        self._pass_end(end.other)
        if relayed.is_open:
            self._interest(end)

    def _pass_end(self, end: End) -> None:
        """Tell a peer that the other one has ended, when it has got everything."""
        pipe = end.outgoing
        if pipe.pending or pipe.ended:
            return
        if end.incoming.source_ended and not end.incoming.pending:
            self._finish(end.relayed)
            return
        pipe.ended = True
        end.end_side()
        # Another limit holds from now on.
        with self._lock:
            self._timetable.drop(end.relayed)
            self._schedule(end.relayed)

    def _interest(self, end: End) -> None:
        """Wait for what is wanted of a peer."""
        wanted = READ if end.incoming.wants_read else 0
        if end.outgoing.pending:
            wanted |= WRITE
        if wanted == end.events:
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
        limit = relayed.limit(self.timeout)
        moment = relayed.active + limit if limit else math.inf
        if self.relog:
            moment = min(moment, relayed.relog + self.relog)
        if moment < math.inf:
            self._timetable.put(relayed, moment)

    def _keep_time(self, now: float) -> float:
        """Do what the timetable says.

        Returns:
            The moment when there is something to be done again.
        """
        with self._lock:
            due = self._timetable.take(now)
        for relayed in due:
            if not relayed.is_open:
                continue
            limit = relayed.limit(self.timeout)
            if limit and now >= relayed.active + limit:
                self._give_up(relayed)
                continue
            if self.relog and now >= relayed.relog + self.relog:
                # Not the moment when we look, else it would be later each time.
                relayed.relog = max(relayed.relog + self.relog, now - self.relog)
                self.log.notice(relayed.auth_line)
            with self._lock:
                self._schedule(relayed)
        with self._lock:
            return min(self._timetable.next(), now + TICK)

    def _give_up(self, relayed: Relayed) -> None:
        """End a session that has lain still for too long."""
        if not relayed.client.outgoing.ended:
            self.log.info("Timeout piping data.")
            self._say_why(relayed.client, self.timeout_line)
        self._finish(relayed)

    def _say_why(self, client: End, line: bytes) -> None:
        """Tell the client why we close, where its protocol has words for that."""
        if line and not client.outgoing.pending:
            with contextlib.suppress(OSError, ValueError):
                client.deliver(line)

    def _turn_out(self, relayed: Relayed) -> None:
        """End the session of a client that said what is not let through."""
        self.log.notice(logs.forbidden(relayed.who))
        self._say_why(relayed.client, self.forbidden_line)
        self._finish(relayed)

    def _finish(self, relayed: Relayed) -> None:
        """A session has ended in order."""
        received, sent = relayed.server.outgoing.taken, relayed.client.outgoing.taken
        self._remove(relayed)
        self.log.info(logs.closing(relayed.who, received, sent))

    def _break_off(self, relayed: Relayed) -> None:
        """A session cannot go on."""
        if relayed.has_ended_side:
            # One side had gone already; that the other one cannot be served is no wonder.
            self._finish(relayed)
            return
        self.has_broken_off = True
        self.log.error("Fatal error piping data. Exiting child.")
        self._remove(relayed)

    def _fail(self, relayed: Relayed, error: Exception) -> None:
        """The system cannot wait for one more of a session's connections, or we are at fault."""
        if isinstance(error, OSError):
            self.log.error(logs.not_relayed(relayed.who, str(error.strerror)))
        else:
            self.log.trace(error)
        # It may be gone already: it must not be counted out twice.
        if relayed.is_open:
            self._break_off(relayed)

    def _remove(self, relayed: Relayed) -> None:
        """Let go of a session's connections; the system then forgets that we wait for them."""
        relayed.is_open = False
        with self._lock:
            self._timetable.drop(relayed)
            for end in (relayed.client, relayed.server):
                self._ends.pop(end.fd, None)
        try:
            relayed.client.close()
            relayed.server.close()
        finally:
            self.ended()
