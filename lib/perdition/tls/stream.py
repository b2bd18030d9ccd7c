"""TLS with one peer, without I/O: what comes from the network and goes to it is handed over.

Where OpenSSL reads and writes the socket itself it makes two system calls for each record that it
reads and one for each that it writes, and its closing alert cannot be sent by itself. So it works
in memory here, and whoever has the socket moves octets: many records at once.
"""

import contextlib
import ssl
from collections.abc import Callable

from perdition.tls import CertificateRefused, TlsFailed
from perdition.tls.hello import (
    NO_APPLICATION_PROTOCOL,
    Ear,
    Hello,
    NoHello,
    says_nothing_of_protocols,
)

# RFC 8446 section 5.1: the longest record. Less is not put into one than it can hold.
RECORD_SIZE = 16384
# OpenSSL makes records of so much at a time: less costs more calls, more does not stay in caches.
PIECE_SIZE = 4 * RECORD_SIZE
# The header of a record of no kind, of no version.
NO_RECORD = bytes(5)
# Octets that wait for the next words at most: a ticket has a few hundred, with certificates more.
WAITING_SIZE = 8192
# How many of the protocols that a client offers are named in the log.
MOST_SHOWN = 5


class Stream:
    """TLS with one peer.

    Attributes:
        tls: what is known of the connection: certificates, version, cipher.
        outgoing: what is to go to the network: its `pending` says how much that is.
        has_ended: the peer has said that nothing more comes, or the network has.
    """

    __slots__ = (
        *("_choose", "_ear", "_hears", "_hello", "_incoming", "_protocol"),
        *("has_ended", "outgoing", "tls"),
    )

    def __init__(
        self,
        context: ssl.SSLContext,
        *,
        server_side: bool = False,
        server_hostname: str | None = None,
        protocol: bytes = b"",
        choose: Callable[[str], ssl.SSLContext | None] | None = None,
    ) -> None:
        """TLS that has not begun.

        Args:
            context: what is spoken.
            server_side: the peer is the client.
            server_hostname: the name to send to the peer, None for none.
            protocol: the one that a client that uses ALPN has to offer; empty for any.
            choose: gives the context for clients that ask for a name, None for the one above.
        """
        self._protocol = protocol
        self._choose = choose
        self._hears = bool(protocol)
        self._ear: Ear | None = None
        # The octets, as long as nobody has asked what is in them.
        self._hello: Hello | bytes = b""
        self._incoming = ssl.MemoryBIO()
        self.outgoing = ssl.MemoryBIO()
        self.has_ended = False
        self.tls = context.wrap_bio(
            self._incoming, self.outgoing, server_side, server_hostname=server_hostname
        )

    def feed(self, data: bytes) -> None:
        """Take what came from the network; nothing means that it has ended.

        Raises:
            TlsFailed: a client offers protocols, and ours is none of them; `take` has the alert.
        """
        if data:
            if self._hears:
                self._hear(data)
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    def _hear(self, data: bytes) -> None:
        """Look at what a client says first."""
        if self._ear is None:
            if self._choose is None and says_nothing_of_protocols(data):
                self._hears, self._hello = False, data
                return
            self._ear = Ear()
        try:
            hello = self._ear.hear(data)
        except NoHello:
            # OpenSSL will say what is wrong with it.
            self._hears, self._ear = False, None
            return
        if hello is None:
            return
        self._hears, self._ear, self._hello = False, None, hello
        if self._choose is not None and hello.server_name is not None:
            chosen = self._choose(hello.server_name)
            if chosen is not None:
                # Tickets are those of the first one in any case.
                self.tls.context = chosen
        if hello.protocols and self._protocol not in hello.protocols:
            self.outgoing.write(NO_APPLICATION_PROTOCOL)
            offered = ", ".join(repr(each)[1:] for each in hello.protocols[:MOST_SHOWN])
            raise TlsFailed(f"ALPN: the client offers {offered}, not {self._protocol.decode()}")

    @property
    def server_name(self) -> str | None:
        """The name by which the client asked for us (SNI), None where it is not known."""
        if isinstance(self._hello, bytes):
            hello = None
            with contextlib.suppress(NoHello):
                hello = Ear().hear(self._hello)
            self._hello = hello or Hello(None, ())
        return self._hello.server_name

    def forget_hello(self) -> None:
        """Let go of what the client said first; `server_name` is not known any more."""
        self._hello = b""

    def take(self) -> bytes:
        """Hand over what is to go to the network."""
        return self.outgoing.read()

    def can_wait(self) -> bool:
        """Whether what is to go to the network after the handshake may go with the next words.

        A server of TLS 1.3 has nothing then that its client waits for: the ticket (RFC 8446 section
        4.6.1), and answers to new keys. By itself the ticket would wake a client that has just
        begun to read: some mail programs write at the same time by another thread, which OpenSSL
        does not allow, and then wait in vain. Who asks for new keys again and again gets them.
        """
        is_little = self.outgoing.pending <= WAITING_SIZE
        return is_little and self.tls.server_side and self.tls.version() == "TLSv1.3"

    def handshake(self) -> bool:
        """Go on with the handshake, and then hand over what `take` gives, in any case.

        Returns:
            Whether it is done; else more has to come from the network.

        Raises:
            TlsFailed: there is no TLS with that peer.
        """
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        except ssl.SSLCertVerificationError as error:
            reason = f"certificate not verified: {error.verify_message}"
            raise CertificateRefused(reason) from error
        except ssl.SSLError as error:
            reason = (error.reason or str(error)).replace("_", " ").lower()
            raise TlsFailed(f"protocol error: {reason}") from error
        return True

    @property
    def has_unread(self) -> bool:
        """Whether something has come that was not read."""
        return bool(self._incoming.pending or self.tls.pending())

    def read(self, size: int) -> bytes | None:
        """What the peer says.

        Returns:
            At most size octets; none where it has ended; None where more has to come first.

        Raises:
            OSError: what came is no TLS.
        """
        incoming, tls = self._incoming, self.tls
        if not incoming.pending and not incoming.eof and not tls.pending():
            # OpenSSL would say so too, by an exception.
            return None
        data = b""
        try:
            data = tls.read(size)
        except ssl.SSLWantReadError:
            return None
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            pass
        self.has_ended = not data
        return data

    def receive(self, raw: memoryview, buffer: memoryview) -> int:
        """Put all that the peer says into a buffer, which has to be large enough for it.

        Args:
            raw: what came from the network; nothing means that it has ended.
            buffer: of two records more than that, for what has come before.

        Returns:
            How many octets; 0 where it has ended.

        Raises:
            ssl.SSLWantReadError: more has to come first.
            OSError: what came is no TLS.
        """
        incoming = self._incoming
        # Into a buffer it gives a number.
        read: Callable[[int, memoryview], int] = self.tls.read  # type: ignore[assignment]
        if raw:
            incoming.write(raw)
        else:
            incoming.write_eof()
        count = 0
        try:
            count = piece = read(len(buffer), buffer)
            while piece and incoming.pending:
                piece = read(len(buffer) - count, buffer[count:])
                count += piece
            self.has_ended = not piece
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            self.has_ended = True
        except ssl.SSLWantReadError:
            if not count:
                raise
        return count

    def encrypt(self, data: bytes | memoryview) -> list[bytes]:
        """Say something, however much; what was to go to the network comes first."""
        view = memoryview(data)
        pieces = []
        for start in range(0, len(view), PIECE_SIZE):
            self.tls.write(view[start : start + PIECE_SIZE])
            pieces.append(self.outgoing.read())
        return pieces

    def forget_session(self) -> None:
        """Have OpenSSL forget the session, that nobody comes back with it; this is the end of it.

        A fatal error does that. So did the end of the object, up to Python 3.12; the ssl module
        has nothing for it.
        """
        # What the peer has said meanwhile could be that it closes, and nothing would be an error.
        self._incoming.read()
        with contextlib.suppress(OSError):
            self._incoming.write(NO_RECORD)
            self.tls.read(1)

    def end(self) -> None:
        """Say that nothing more comes (RFC 8446 section 6.1); the peer may go on to speak."""
        with contextlib.suppress(OSError, ValueError):
            # It looks for the peer's answer too, and finds nothing there.
            self.tls.unwrap()
