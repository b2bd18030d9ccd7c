"""A peer's socket while its session is one thread's: waits, TLS, and the traffic log."""

import contextlib
import select
import socket
import ssl
import time
from collections.abc import Callable
from typing import Protocol

from perdition.patience import Patience
from perdition.protocols import T, Talk
from perdition.protocols.wire import Wire
from perdition.tls import TlsFailed
from perdition.tls.stream import Stream

RECEIVE_SIZE = 4096
# Seconds of one pause: the system counts milliseconds in an int.
MOST_PAUSE = 2**31 // 1000 - 1


class PeerGone(Exception):
    """The connection has ended, by the peer or by an error."""


class PeerSilent(Exception):
    """The peer did not say anything, or did not take anything, for too long."""


class Tls(Protocol):
    """TLS with one of the peers, as the options want it. Both functions raise TlsFailed."""

    def start(self, name: str, /) -> Stream:
        """TLS before the handshake."""

    def check(self, tls: ssl.SSLObject, name: str, /) -> None:
        """Check the peer after it."""

    def user(self, tls: ssl.SSLObject, /) -> str | None:
        """The user that a client's certificate names, after the check."""


class Peer(Protocol):
    """What `converse` needs of a channel; errors are those of Channel."""

    def receive(self) -> bytes:
        """Wait for octets."""

    def flush(self, wire: Wire, delay: float = 0.0) -> None:
        """Send what the dialogue has said."""


class Channel:
    """A connection to a peer.

    Attributes:
        sock: the socket, blocking.
        stream: TLS, once it has started.
        certified: the user that a client's verified certificate names; None without one.
        secure: "plaintext", "ssl" or "starttls", as the log has it.
        patience: the session's.
        timeout: seconds that each wait may take, 0 for no limit.
    """

    __slots__ = (
        *("_descriptor", "_said", "_shown"),
        *("certified", "patience", "secure", "sock", "stream", "timeout"),
    )

    def __init__(
        self,
        sock: socket.socket,
        patience: Patience,
        *,
        timeout: float,
        shown: Callable[[bytes], None] | None = None,
        said: Callable[[bytes], None] | None = None,
    ) -> None:
        """Take over a socket.

        Args:
            sock: connected, and blocking without a time-out of its own.
            patience: of the session.
            timeout: seconds that each wait may take, 0 for no limit.
            shown: told what is read, for the traffic log.
            said: told what is written.
        """
        self.sock = sock
        self.patience = patience
        self.timeout = timeout
        self.secure = "plaintext"
        self.certified: str | None = None
        self._descriptor = sock.fileno()
        self.stream: Stream | None = None
        self._shown = shown
        self._said = said

    def receive(self) -> bytes:
        """Wait for octets.

        Raises:
            PeerGone: there will be none any more.
            PeerSilent: none came in time.
        """
        if not self.patience.begin(self._descriptor, self.timeout):
            # A peer that always has something more to say would be listened to for ever.
            raise PeerSilent
        try:
            data = self._receive_tls(self.stream) if self.stream else self.sock.recv(RECEIVE_SIZE)
        except (OSError, ValueError) as error:
            raise self._ended() from error
        if not data:
            raise self._ended()
        if self._shown is not None:
            self._shown(data)
        return data

    def flush(self, wire: Wire, delay: float = 0.0) -> None:
        """Send what the dialogue has said, each part after the pauses before it.

        Args:
            wire: what is to be said.
            delay: seconds of one pause.

        Raises:
            PeerGone: the connection has ended.
            PeerSilent: the peer does not take it.
        """
        while wire.unsent:
            if wire.unsent[0] is None and wire.take_pause():
                self.pause(delay)
                continue
            data = wire.take_unsent() if self._said is None else self.take_unsent(wire)
            try:
                if self.stream is not None:
                    data = b"".join(self.stream.encrypt(data))
                self._send(data)
            except (OSError, ValueError) as error:
                raise self._ended() from error

    def send(self, data: bytes) -> None:
        """Send octets that are no lines, before TLS.

        Raises:
            PeerGone: the connection has ended.
            PeerSilent: the peer does not take it.
        """
        try:
            self._send(data)
        except (OSError, ValueError) as error:
            raise self._ended() from error

    def take_unsent(self, wire: Wire) -> bytes:
        """Take what the dialogue has said, for somebody else to send it."""
        if self._said is not None:
            self._said(wire.shown())
        return wire.take_unsent()

    def _send(self, data: bytes) -> None:
        """Send octets; as a rule the system takes them, and there is nothing to wait for."""
        try:
            sent = self.sock.send(data, socket.MSG_DONTWAIT)
        except BlockingIOError:
            sent = 0
        if sent < len(data):
            self.patience.begin(self._descriptor, self.timeout)
            self.sock.sendall(data[sent:])

    def _ended(self) -> PeerGone | PeerSilent:
        """What has happened, where the connection has ended."""
        return PeerSilent() if self.patience.expired else PeerGone()

    def is_silent(self, seconds: float) -> bool:
        """Wait for octets, or the end, for so long at most; whether there were none."""
        if self.stream is not None and self.stream.has_unread:
            return False
        self.patience.begin(self._descriptor, self.timeout)
        poll = select.poll()
        poll.register(self._descriptor, select.POLLIN)
        return not poll.poll(seconds * 1000)

    def pause(self, seconds: float) -> None:
        """Do nothing for so long, but notice when the connection is ended meanwhile.

        Raises:
            PeerGone: it was: the peer reset it, or somebody else needs our place.
            PeerSilent: there is not so much time any more.
        """
        self.patience.begin(self._descriptor, 0)
        poll = select.poll()
        left = max(self.patience.deadline - time.monotonic(), 0)
        try:
            poll.register(self._descriptor, 0)
            if poll.poll(min(seconds, left, MOST_PAUSE) * 1000):
                raise PeerGone
        except (OSError, ValueError) as error:
            raise PeerGone from error
        if left <= seconds:
            raise PeerSilent

    def start_tls(self, tls: Tls, name: str = "", *, implicit: bool, early: bytes = b"") -> None:
        """Start TLS.

        Args:
            tls: how it is spoken.
            name: the peer's, where that is checked.
            implicit: from the first octet on, not after STARTTLS.
            early: what has been received of it already, behind a PROXY header.

        Raises:
            TlsFailed: there is no TLS, or not with that peer.
        """
        self.stream = stream = tls.start(name)
        self.patience.begin(self._descriptor, self.timeout)
        try:
            if early:
                stream.feed(early)
            elif stream.tls.server_side:
                # The client speaks first.
                stream.feed(self.sock.recv(RECEIVE_SIZE))
            while not stream.handshake():
                self._send_unsent(stream)
                stream.feed(self.sock.recv(RECEIVE_SIZE))
        except (TlsFailed, OSError) as error:
            # The peer is told why, if it still listens.
            with contextlib.suppress(OSError):
                self.sock.send(stream.take(), socket.MSG_DONTWAIT)
            if self.patience.expired:
                raise TlsFailed("the handshake took too long") from error
            if isinstance(error, TlsFailed):
                raise
            raise TlsFailed(f"connection lost in the handshake: {error.strerror}") from error
        try:
            tls.check(stream.tls, name)
        except TlsFailed:
            # The peer would come back unchecked: by the ticket that is in what was not sent yet, or
            # by the number of the session.
            stream.forget_session()
            self.stream = None
            raise
        self.certified = tls.user(stream.tls)
        self.secure = "ssl" if implicit else "starttls"

    def _receive_tls(self, stream: Stream) -> bytes:
        """Wait for octets under TLS."""
        while (data := stream.read(RECEIVE_SIZE)) is None:
            if stream.outgoing.pending and not stream.can_wait():
                self._send_unsent(stream)
            stream.feed(self.sock.recv(RECEIVE_SIZE))
        return data

    def _send_unsent(self, stream: Stream) -> None:
        """Send what TLS has to say by itself."""
        if stream.outgoing.pending:
            self.sock.sendall(stream.take())

    def rest(self, wire: Wire) -> bytes:
        """What has come and was not read: nothing will wake who waits for what TLS holds of it."""
        early = wire.take_unread()
        if self.stream is not None:
            # The relay has no use for it, and holds many.
            self.stream.forget_hello()
            with contextlib.suppress(OSError):
                while data := self.stream.read(RECEIVE_SIZE):
                    early += data
        return early

    def close(self) -> None:
        """End the connection; a TLS peer is told so, but not waited for."""
        self.patience.forget(self._descriptor)
        with contextlib.suppress(OSError):
            if self.stream is not None:
                self.stream.end()
                self.sock.send(self.stream.take(), socket.MSG_DONTWAIT)
            self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()


def converse(talk: Talk[T], wire: Wire, channel: Peer, delay: float = 0.0) -> T:
    """Do the I/O that talk waits for until it returns.

    Args:
        talk: the dialogue.
        wire: the octets that it reads and says.
        channel: the connection to that peer.
        delay: seconds of each pause that the dialogue makes.

    Returns:
        What the dialogue returned.

    Raises:
        PeerGone: the connection has ended.
        PeerSilent: the peer did not answer in time.
        LineTooLong, ProtocolError: the peer cannot be understood.
    """
    while True:
        try:
            next(talk)
        except StopIteration as finished:
            result: T = finished.value
            return result
        finally:
            if wire.unsent:
                channel.flush(wire, delay)
        wire.feed(channel.receive())
