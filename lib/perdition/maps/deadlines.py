"""How long a look-up may take: a moment that its thread keeps, and sockets that keep to it.

The limits of libraries count anew for each read and each address: to them a server that sends an
octet a second is never too slow.
"""

import contextlib
import math
import socket
import ssl
import threading
from collections.abc import Iterator, Sequence
from time import monotonic
from typing import Any

from perdition import net
from perdition.maps import MapFailed

# Connections are kept: a firewall is not to forget them, nor we to miss that the other end has.
OPTIONS = (
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
)


class Moment(threading.local):
    """When everything that this thread waits for has to be over."""

    deadline = math.inf


_this = Moment()


@contextlib.contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Let everything in the body together take so many seconds; 0 for no limit of its own."""
    before = _this.deadline
    if seconds:
        _this.deadline = min(before, monotonic() + seconds)
    try:
        yield
    finally:
        _this.deadline = before


@contextlib.contextmanager
def share(parts: int) -> Iterator[None]:
    """Let the body take one of so many equal parts of the time that is left."""
    before, now = _this.deadline, monotonic()
    _this.deadline = now + (before - now) / parts
    try:
        yield
    finally:
        _this.deadline = before


def left() -> float | None:
    """Seconds that are left; None for no limit.

    Raises:
        TimeoutError: none are.
    """
    if _this.deadline == math.inf:
        return None
    seconds = _this.deadline - monotonic()
    if seconds <= 0:
        raise TimeoutError("timed out")
    return seconds


class Socket(socket.socket):
    """A socket each of whose waits ends when the thread's time is over.

    It does not wait at all where a library has set it to non-blocking, to look whether there is
    something to read.
    """

    def _keep_time(self) -> None:
        if self.gettimeout() != 0:
            self.settimeout(left())

    def connect(self, *arguments: Any) -> None:
        self._keep_time()
        super().connect(*arguments)

    def recv(self, *arguments: Any) -> bytes:
        self._keep_time()
        return super().recv(*arguments)

    def recv_into(self, *arguments: Any) -> int:
        self._keep_time()
        return super().recv_into(*arguments)

    def send(self, *arguments: Any) -> int:
        self._keep_time()
        return super().send(*arguments)

    def sendall(self, *arguments: Any) -> None:
        self._keep_time()
        super().sendall(*arguments)


class TlsSocket(Socket, ssl.SSLSocket):
    """The same with TLS."""

    def do_handshake(self, block: bool = False) -> None:
        self._keep_time()
        super().do_handshake(block)


def connect(host: str, port: str, context: ssl.SSLContext | None = None) -> Socket:
    """Connect to the first address of a host that answers.

    Args:
        host: a name or an address.
        port: a number or the name of a service.
        context: of `tls_context`, where the connection begins with TLS.

    Raises:
        OSError: none did in time, the last reason; or the host's certificate is not good.
    """
    sock = connect_plain(host, port)
    if context is None:
        return sock
    try:
        secured: Any = context.wrap_socket(sock, server_hostname=host)
    except BaseException:
        sock.close()
        raise
    return secured  # type: ignore[no-any-return]


def connect_plain(host: str, port: str) -> Socket:
    """The same without TLS."""
    reason = OSError(f"{host} has no address")
    addresses = resolve(host, port)
    for number, (family, address) in enumerate(addresses):
        try:
            with share(len(addresses) - number):
                return connected(family, address)
        except OSError as error:
            reason = error
    raise reason


def connected(family: int, address: object) -> Socket:
    """A new connection.

    Raises:
        OSError: there is none, or not in time.
    """
    sock = Socket(family, socket.SOCK_STREAM)
    try:
        sock.connect(address)
        if family != socket.AF_UNIX:
            for level, option, value in OPTIONS:
                sock.setsockopt(level, option, value)
    except BaseException:
        sock.close()
        raise
    return sock


def resolve(host: str, port: str) -> Sequence[tuple[int, object]]:
    """Families and socket addresses of host and port.

    Raises:
        OSError: there are none, or not in time.
    """
    try:
        return net.resolve(host, port, left())
    except net.ConnectFailed as error:
        raise OSError(str(error)) from error


def tls_context(ca: str) -> ssl.SSLContext:
    """What TLS with a server needs, which has to have a good certificate for its name.

    Args:
        ca: a file of authorities' certificates; empty for those that the system trusts.

    Raises:
        MapFailed: it cannot be read, or there is no certificate in it.
    """
    try:
        context = ssl.create_default_context(cafile=ca or None)
    except OSError as error:
        raise MapFailed(f"map_library_opt: ca={ca}: {reason(error)}") from error
    # From Python 3.13 on it would refuse authorities that real servers may have.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.sslsocket_class = TlsSocket
    return context


def reason(error: OSError) -> str:
    """Why something failed, in a line."""
    return "timed out" if isinstance(error, TimeoutError) else error.strerror or str(error)
