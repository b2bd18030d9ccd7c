"""The two peers of an established session, as the relay has them."""

import contextlib
import os
import socket
import ssl

from perdition.logs import Who
from perdition.relay.pipe import Pipe

# An alert and its record are some dozens of octets.
ALERT_SIZE = 1024
WOULD_BLOCK = (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class End:
    """One peer of a session.

    Attributes:
        sock: the connection to it.
        fd: its descriptor.
        relayed: the session.
        other: the other peer.
        incoming: what comes from it; the other one's outgoing.
        outgoing: what goes to it.
        events: what the loop waits for on it.
    """

    __slots__ = ("events", "fd", "incoming", "other", "outgoing", "relayed", "sock")

    incoming: Pipe
    other: "End"

    def __init__(self, sock: socket.socket, relayed: "Relayed", early: bytes) -> None:
        """A peer; early is what came from the other one before."""
        self.sock = sock
        self.fd = sock.fileno()
        self.relayed = relayed
        self.outgoing = Pipe(early)
        self.events = 0

    def read_into(self, buffer: bytearray) -> int:
        """Read what there is, as far as it fits; 0 where the peer has ended its side."""
        return self.sock.recv_into(buffer, 0, socket.MSG_DONTWAIT)

    def write(self, data: bytes | memoryview) -> int:
        """Write as much as the system takes; returns how many octets."""
        return self.sock.send(data, socket.MSG_DONTWAIT)

    def say_first(self, data: bytes) -> None:
        """Say something before everything else; it is not counted among what is relayed."""
        data += self.outgoing.pending
        try:
            sent = self.write(data)
        except (OSError, ValueError):
            # The loop tries again, and sees what is wrong.
            sent = 0
        self.outgoing.pending = data[sent:]

    def end_side(self) -> None:
        """Tell the peer that nothing more comes."""
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Let go of the connection."""
        self.sock.close()


class TlsEnd(End):
    """A peer that TLS is spoken with."""

    __slots__ = ()

    sock: ssl.SSLSocket

    def __init__(self, sock: ssl.SSLSocket, relayed: "Relayed", early: bytes) -> None:
        super().__init__(sock, relayed, early)
        sock.setblocking(False)

    def read_into(self, buffer: bytearray) -> int:
        try:
            return self.sock.read(len(buffer), buffer)  # type: ignore[return-value]
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            return 0

    def write(self, data: bytes | memoryview) -> int:
        return self.sock.write(data)

    def end_side(self) -> None:
        end_sending(self.sock)

    def close(self) -> None:
        if not self.outgoing.ended:
            close_notify(self.sock)
        self.sock.close()


def make_end(sock: socket.socket, relayed: "Relayed", early: bytes) -> End:
    """The end for a socket."""
    kind = TlsEnd if isinstance(sock, ssl.SSLSocket) else End
    return kind(sock, relayed, early)  # type: ignore[arg-type]


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
        connections: tuple[socket.socket, socket.socket],
        early: tuple[bytes, bytes],
        who: Who,
        auth_line: str,
        now: float,
    ) -> None:
        """A session from now on.

        Args:
            connections: to the client and to the real server.
            early: what is to go to each of them first.
            who: whose session it is.
            auth_line: the line of the log-in.
            now: this moment.
        """
        self.client = make_end(connections[0], self, early[0])
        self.server = make_end(connections[1], self, early[1])
        self.client.other, self.server.other = self.server, self.client
        self.client.incoming, self.server.incoming = self.server.outgoing, self.client.outgoing
        self.who = who
        self.auth_line = auth_line
        self.active = self.relog = now
        self.due = 0
        self.is_open = True

    @property
    def has_ended_side(self) -> bool:
        """Whether one of the peers has nothing more to say."""
        return self.client.incoming.source_ended or self.server.incoming.source_ended


def close_notify(sock: ssl.SSLSocket) -> None:
    """Tell a TLS peer that nothing more comes (RFC 8446 section 6.1), without waiting."""
    with contextlib.suppress(OSError, ValueError):
        sock.unwrap()


def end_sending(sock: ssl.SSLSocket) -> None:
    """Tell a TLS peer that nothing more comes, and go on to read what it says.

    Python's unwrap() sends close_notify and waits for the peer's. OpenSSL takes data in the place
    of that for a fault, with which all is lost that the peer still has to say. So it is made to
    find another socket in the descriptor, one with nothing to read, and the alert is sent on.
    """
    descriptor = sock.fileno()
    with contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.suppress(OSError, ValueError))
        ours, stand_in = socket.socketpair()
        stack.enter_context(ours)
        stack.enter_context(stand_in)
        stand_in.setblocking(False)
        real = os.dup(descriptor)
        stack.callback(os.close, real)
        os.dup2(stand_in.fileno(), descriptor, inheritable=False)
        try:
            close_notify(sock)
        finally:
            os.dup2(real, descriptor, inheritable=False)
        socket.socket.send(sock, ours.recv(ALERT_SIZE, socket.MSG_DONTWAIT))
