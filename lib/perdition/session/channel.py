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

RECEIVE_SIZE = 4096


class PeerGone(Exception):
    """The connection has ended, by the peer or by an error."""


class PeerSilent(Exception):
    """The peer did not say anything, or did not take anything, for too long."""


class Tls(Protocol):
    """TLS with one of the peers, as the options want it."""

    def start(self, sock: socket.socket, name: str, /) -> ssl.SSLSocket:
        """Speak TLS on a socket from now on; nothing is said yet."""

    def finish(self, tls: ssl.SSLSocket, name: str, /) -> None:
        """Do the handshake and the checks; raises TlsFailed."""


class Channel:
    """A connection to a peer.

    Attributes:
        sock: the socket, blocking; wrapped once TLS has started.
        secure: "plaintext", "ssl" or "starttls", as the log has it.
        patience: the session's.
        timeout: seconds that each wait may take, 0 for no limit.
    """

    __slots__ = (
        *("_descriptor", "_read", "_said", "_shown", "_write"),
        *("patience", "secure", "sock", "timeout"),
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
        self._descriptor = sock.fileno()
        self._read: Callable[[int], bytes] = sock.recv
        self._write: Callable[[bytes], object] = sock.sendall
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
            data = self._read(RECEIVE_SIZE)
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
            if wire.take_pause():
                self.pause(delay)
                continue
            data = self.take_unsent(wire)
            self.patience.begin(self._descriptor, self.timeout)
            try:
                self._write(data)
            except (OSError, ValueError) as error:
                raise self._ended() from error

    def take_unsent(self, wire: Wire) -> bytes:
        """Take what the dialogue has said, for somebody else to send it."""
        if self._said is not None:
            self._said(wire.shown())
        return wire.take_unsent()

    def _ended(self) -> PeerGone | PeerSilent:
        """What has happened, where the connection has ended."""
        return PeerSilent() if self.patience.expired else PeerGone()

    def pause(self, seconds: float) -> None:
        """Do nothing for so long, but notice when the connection is ended meanwhile.

        Raises:
            PeerGone: it was: the peer reset it, or somebody else needs our place.
            PeerSilent: there is not so much time any more.
        """
        self.patience.end()
        poll = select.poll()
        left = max(self.patience.deadline - time.monotonic(), 0)
        try:
            poll.register(self._descriptor, 0)
            if poll.poll(min(seconds, left) * 1000):
                raise PeerGone
        except (OSError, ValueError) as error:
            raise PeerGone from error
        if left <= seconds:
            raise PeerSilent

    def start_tls(self, tls: Tls, name: str = "", *, implicit: bool) -> None:
        """Start TLS.

        Args:
            tls: how it is spoken.
            name: the peer's, where that is checked.
            implicit: from the first octet on, not after STARTTLS.

        Raises:
            TlsFailed: there is no TLS, or not with that peer.
        """
        with self.patience.guarding(self._descriptor):
            self.sock = wrapped = tls.start(self.sock, name)
        self._read, self._write = wrapped.read, wrapped.sendall
        self.patience.begin(self._descriptor, self.timeout)
        tls.finish(wrapped, name)
        self.secure = "ssl" if implicit else "starttls"

    def close(self) -> None:
        """End the connection; a TLS peer is told so, but not waited for."""
        self.patience.forget(self._descriptor)
        if isinstance(self.sock, ssl.SSLSocket):
            with contextlib.suppress(OSError, ValueError):
                self.sock.setblocking(False)
                self.sock.unwrap()
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()


def converse(talk: Talk[T], wire: Wire, channel: Channel, delay: float = 0.0) -> T:
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
