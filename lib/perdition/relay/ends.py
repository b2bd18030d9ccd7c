"""The two peers of an established session, as the relay has them."""

import contextlib
import socket
import ssl

from perdition.logs import Who
from perdition.relay.guard import Guard
from perdition.relay.pipe import Pipe
from perdition.tls.stream import RECORD_SIZE, Stream

WOULD_BLOCK = (BlockingIOError, InterruptedError, ssl.SSLWantReadError)
# A number, and no enumeration: it is looked at with each octet that is relayed.
NOW = int(socket.MSG_DONTWAIT)
# How long a session lies still before it is ended where the client was told that its server has.
HALF_CLOSED_SECONDS = 10
# The same where the client has ended its side, and `timeout` has no limit: it may have gone.
ABANDONED_SECONDS = 1800
# What TLS may have to say by itself to a peer that does not read.
OWN_LIMIT = 65536


class End:
    """One peer of a session.

    Attributes:
        sock: the connection to it.
        recv_into, send: functions of that.
        fd: its descriptor.
        relayed: the session.
        other: the other peer.
        incoming: what comes from it; the other one's outgoing.
        outgoing: what goes to it, as it goes over the network.
        events: what the loop waits for on it.
        is_plain: what goes over the network is what is relayed.
    """

    __slots__ = (
        *("events", "fd", "incoming", "other", "outgoing", "recv_into"),
        *("relayed", "send", "sock"),
    )

    incoming: Pipe
    other: "End"
    is_plain = True

    def __init__(self, sock: socket.socket, relayed: "Relayed") -> None:
        self.sock = sock
        self.recv_into, self.send = sock.recv_into, sock.send
        self.fd = sock.fileno()
        self.relayed = relayed
        self.outgoing = Pipe()
        self.events = 0

    def hand_on(self, buffer: memoryview, _raw: memoryview) -> int:
        """Read what there is, and give it to the other peer; what that does not take is pending.

        Args:
            buffer: for what is read; it is longer than that by a TLS record and more.
            _raw: as long as that, for what is encrypted.

        Returns:
            How many octets; 0 where the peer has ended its side.

        Raises:
            WOULD_BLOCK: nothing yet.
            OSError, ValueError: one of the connections is broken.
            Forbidden: the peer said what its guard does not let through.
        """
        count = self.recv_into(buffer, self.incoming.size, NOW)
        if count:
            self.incoming.pending = self.other.deliver(buffer[:count])
        return count

    def deliver(self, data: memoryview | bytes) -> bytes:
        """Send to the peer; returns what the system has not taken, as it goes over the network."""
        try:
            sent = self.send(data, NOW)
        except WOULD_BLOCK:
            sent = 0
        return b"" if sent == len(data) else bytes(data[sent:])

    def resume(self) -> None:
        """Send more of what is pending."""
        pipe = self.outgoing
        pipe.sent(self.send(pipe.pending, NOW))

    def say_first(self, data: bytes) -> None:
        """Say something before there is anything else, and before the loop knows the session."""
        try:
            self.outgoing.pending = self.deliver(data)
        except (OSError, ValueError):
            # It is broken, which the loop will see.
            return

    def end_side(self) -> None:
        """Tell the peer that nothing more comes."""
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            # It has gone, which the loop will see.
            return

    def close(self) -> None:
        """Let go of the connection."""
        self.sock.close()


class TreatedEnd(End):
    """A peer whose octets must not go past us: something is done with them first."""

    __slots__ = ()

    is_plain = False

    def read_into(self, buffer: memoryview, size: int, _raw: memoryview) -> int:
        """Read what there is, and treat it; arguments and errors are those of `hand_on`.

        Args:
            buffer: where it goes to.
            size: how much is read from the network at most.
            raw: for what is encrypted.

        Returns:
            How many octets; 0 where the peer has ended its side.
        """
        return self.recv_into(buffer, size, NOW)

    # The one above has no need of read_into, and saves its call: it has most of the octets.
    def hand_on(self, buffer: memoryview, raw: memoryview) -> int:
        count = self.read_into(buffer, self.incoming.size, raw)
        if count:
            self.incoming.pending = self.other.deliver(buffer[:count])
        return count


class TlsEnd(TreatedEnd):
    """A peer that TLS is spoken with.

    Attributes:
        stream: TLS, after the handshake.
    """

    __slots__ = ("stream",)

    def __init__(self, sock: socket.socket, relayed: "Relayed", stream: Stream) -> None:
        super().__init__(sock, relayed)
        self.stream = stream
        if stream.has_ended:
            self._end_network()

    def read_into(self, buffer: memoryview, size: int, raw: memoryview) -> int:
        count = self.recv_into(raw, size, NOW)
        stream = self.stream
        try:
            count = stream.receive(raw[:count], buffer)
        finally:
            if stream.outgoing.pending:
                self._answer()
        if count and stream.has_ended:
            self._end_network()
        return count

    def _end_network(self) -> None:
        """The peer says that it has ended its side: have the loop find the end of the connection.

        It may not close it, and what came before the end has to be handed on first.
        """
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RD)

    def _answer(self) -> None:
        """Send what TLS has to say by itself; where that cannot be it goes with the next words."""
        if self.outgoing.ended:
            # There is no way to say it, and a peer that was told of the end waits for nothing.
            self.stream.take()
        elif not self.outgoing.pending:
            self.outgoing.pending = End.deliver(self, self.stream.take())
        elif self.stream.outgoing.pending > OWN_LIMIT:
            raise ConnectionAbortedError

    def deliver(self, data: memoryview | bytes) -> bytes:
        stream = self.stream
        if len(data) <= RECORD_SIZE:
            stream.tls.write(data)
            return End.deliver(self, stream.outgoing.read())
        pieces = stream.encrypt(data)
        try:
            sent = self.sock.sendmsg(pieces, (), NOW)
        except WOULD_BLOCK:
            sent = 0
        return b"" if sent == sum(map(len, pieces)) else b"".join(pieces)[sent:]

    def end_side(self) -> None:
        self._say_end()
        super().end_side()

    def close(self) -> None:
        if not self.outgoing.ended and not self.outgoing.pending:
            self._say_end()
        self.sock.close()

    def _say_end(self) -> None:
        self.stream.end()
        with contextlib.suppress(OSError):
            self.sock.send(self.stream.take(), NOW)


class Guarded(TreatedEnd):
    """A peer whose octets are looked at before they are handed on."""

    # Whoever has slots cannot be put together with TLS, which has one.
    __slots__ = ()

    guard: Guard

    def read_into(self, buffer: memoryview, size: int, raw: memoryview) -> int:
        count = super().read_into(buffer, size, raw)
        self.guard.look(buffer[:count])
        return count


class GuardedEnd(Guarded):
    """Without TLS."""

    __slots__ = ("guard",)


class GuardedTlsEnd(Guarded, TlsEnd):
    """With TLS."""

    __slots__ = ("guard",)


def make_end(
    sock: socket.socket, stream: Stream | None, relayed: "Relayed", guard: Guard | None = None
) -> End:
    """The end for a connection, with or without TLS and guard."""
    if guard is None:
        return End(sock, relayed) if stream is None else TlsEnd(sock, relayed, stream)
    end: Guarded
    end = GuardedEnd(sock, relayed) if stream is None else GuardedTlsEnd(sock, relayed, stream)
    end.guard = guard
    return end


class Relayed:
    """An established session: two ends, and what the log says of it.

    Attributes:
        active: the moment when something moved last.
        relog: the moment when the line of the log-in was logged last.
        due: the second that the timetable has it in.
        is_open: whether its connections are.
    """

    __slots__ = ("active", "auth_line", "client", "due", "is_open", "relog", "server", "who")

    def __init__(
        self,
        client: tuple[socket.socket, Stream | None],
        server: tuple[socket.socket, Stream | None],
        who: Who,
        auth_line: str,
        now: float,
        guard: Guard | None = None,
    ) -> None:
        """A session from now on.

        Args:
            client: the connection to it, and TLS where that is spoken.
            server: the same of the real server.
            who: whose session it is.
            auth_line: the line of the log-in.
            now: this moment.
            guard: looks at what the client says, where somebody has to.
        """
        self.client = make_end(*client, self, guard)
        self.server = make_end(*server, self)
        self.client.other, self.server.other = self.server, self.client
        self.client.incoming, self.server.incoming = self.server.outgoing, self.client.outgoing
        self.who = who
        self.auth_line = auth_line
        self.active = self.relog = now
        self.due = 0
        self.is_open = True

    def limit(self, timeout: int) -> int:
        """How many seconds it may lie still, 0 for any time; that is `timeout` as a rule."""
        if self.client.outgoing.ended:
            return min(timeout or HALF_CLOSED_SECONDS, HALF_CLOSED_SECONDS)
        if self.client.incoming.source_ended:
            return timeout or ABANDONED_SECONDS
        return timeout

    @property
    def has_ended_side(self) -> bool:
        """Whether one of the peers has nothing more to say."""
        return self.client.incoming.source_ended or self.server.incoming.source_ended
