"""A peer's socket while its session is one thread's: time-outs, TLS, and the traffic log."""

import contextlib
import select
import socket
import ssl
from collections.abc import Callable

from perdition.net import Deadline
from perdition.protocols import T, Talk
from perdition.protocols.wire import Wire

RECEIVE_SIZE = 16384


class PeerGone(Exception):
    """The connection has ended, by the peer or by an error."""


class PeerSilent(Exception):
    """The peer did not say anything, or did not take anything, for too long."""


class Channel:
    """A connection to a peer.

    Attributes:
        sock: the socket, wrapped once TLS has started.
        secure: "plaintext", "ssl" or "starttls", as the log has it.
    """

    def __init__(
        self,
        sock: socket.socket,
        *,
        timeout: float,
        deadline: Deadline,
        shown: Callable[[bytes], None] | None = None,
        said: Callable[[bytes], None] | None = None,
    ) -> None:
        """Take over a socket.

        Args:
            sock: connected.
            timeout: seconds that each wait may take, 0 for no limit.
            deadline: when all waiting ends.
            shown: told what is read, for the traffic log.
            said: told what is written.
        """
        self.sock = sock
        self.timeout = timeout
        self.deadline = deadline
        self.secure = "plaintext"
        self._shown = shown
        self._said = said

    def receive(self) -> bytes:
        """Wait for octets.

        Raises:
            PeerGone: there will be none any more.
            PeerSilent: none came in time.
        """
        try:
            self.sock.settimeout(self.deadline.left(self.timeout))
            data = self.sock.recv(RECEIVE_SIZE)
        except TimeoutError as error:
            raise PeerSilent from error
        except (OSError, ValueError) as error:
            raise PeerGone from error
        if not data:
            raise PeerGone
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
        while wire.has_unsent:
            if wire.take_pause():
                self.pause(delay)
                continue
            if self._said is not None:
                self._said(wire.shown())
            self.send(wire.take_unsent())

    def send(self, data: bytes) -> None:
        """Send octets.

        Raises:
            PeerGone: the connection has ended.
            PeerSilent: the peer does not take them.
        """
        try:
            self.sock.settimeout(self.deadline.left(self.timeout))
            self.sock.sendall(data)
        except TimeoutError as error:
            raise PeerSilent from error
        except (OSError, ValueError) as error:
            raise PeerGone from error

    def pause(self, seconds: float) -> None:
        """Do nothing for so long, but notice when the connection is ended meanwhile.

        Raises:
            PeerGone: it was: the peer reset it, or somebody else needs our place.
        """
        poll = select.poll()
        try:
            poll.register(self.sock.fileno(), 0)
            if poll.poll(seconds * 1000):
                raise PeerGone
        except (OSError, ValueError) as error:
            raise PeerGone from error

    def start_tls(self, wrap: Callable[[socket.socket], ssl.SSLSocket], *, implicit: bool) -> None:
        """Start TLS.

        Args:
            wrap: does the handshake; raises TlsFailed.
            implicit: from the first octet on, not after STARTTLS.
        """
        self.sock.settimeout(self.deadline.left(self.timeout))
        self.sock = wrap(self.sock)
        self.secure = "ssl" if implicit else "starttls"

    def close(self) -> None:
        """End the connection; a TLS peer is told so, but not waited for."""
        with contextlib.suppress(OSError, ValueError):
            self.sock.settimeout(0)
            if isinstance(self.sock, ssl.SSLSocket):
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
            channel.flush(wire, delay)
        wire.feed(channel.receive())
