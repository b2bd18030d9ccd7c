"""A real server whose part the test plays itself."""

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from typing import Self

from perdition.protocols.proxy_header import Header, parse
from perdition.protocols.wire import Wire
from support.processes import HOST
from support.talking import Lacking, play

SECONDS = 30
Sock = socket.socket


def read_line(sock: Sock) -> bytes:
    """A line, and nothing that follows it."""
    line = b""
    while not line.endswith(b"\n"):
        octet = sock.recv(1)
        assert octet, f"closed after {line!r}"
        line += octet
    return line


def read(sock: Sock, size: int) -> bytes:
    """So many octets, fewer where the connection ends before."""
    data = bytearray()
    while len(data) < size and (piece := sock.recv(min(size - len(data), 1 << 20))):
        data += piece
    return bytes(data)


def read_all(sock: Sock) -> bytes:
    """What comes until the connection ends, or is reset."""
    data = bytearray()
    with contextlib.suppress(ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError):
        while piece := sock.recv(1 << 20):
            data += piece
    return bytes(data)


def header_of(sock: Sock) -> Header:
    """The header that a connection begins with."""
    data = b""
    while True:
        data += sock.recv(1)
        wire = Wire(data)
        with contextlib.suppress(Lacking):
            return play(parse(wire), wire, [])


def reset(sock: Sock) -> None:
    """Close a connection with RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    sock.close()


class ScriptedServer:
    """A listener, while used as a context; what is accepted is closed with it.

    Attributes:
        port: where it listens.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        """Listen.

        Args:
            tls: connections begin with TLS.
        """
        self._tls = tls
        self._listener = socket.create_server((HOST, 0), backlog=1024)
        self._listener.settimeout(SECONDS)
        self._stack = contextlib.ExitStack()
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
        self._listener.close()

    def accept(self) -> Sock:
        """The next connection."""
        sock: Sock = self._listener.accept()[0]
        sock.settimeout(SECONDS)
        if self._tls is not None:
            sock = self._tls.wrap_socket(sock, server_side=True)
        self._stack.callback(sock.close)
        return sock

    def accept_pop3(self, *, more: bytes = b"") -> Sock:
        """A connection on which somebody has logged in.

        Args:
            more: said in one packet with the answer to the password.
        """
        sock = self.accept()
        sock.sendall(b"+OK ready\r\n")
        assert read_line(sock).startswith(b"USER ")
        sock.sendall(b"+OK\r\n")
        assert read_line(sock).startswith(b"PASS ")
        sock.sendall(b"+OK in\r\n" + more)
        return sock

    @contextlib.contextmanager
    def serving(self, script: Callable[[Sock], None]) -> Iterator[None]:
        """Play a script to each connection, in a thread of its own.

        Its trouble with the connection is what the test is about, and no fault.
        """
        over = threading.Event()

        def play(sock: Sock) -> None:
            with sock, contextlib.suppress(OSError, AssertionError):
                script(sock)

        def run() -> None:
            while True:
                try:
                    sock = self._listener.accept()[0]
                except TimeoutError:
                    continue
                except OSError:
                    return
                if over.is_set():
                    sock.close()
                    return
                sock.settimeout(SECONDS)
                socks.append(sock)
                players.append(threading.Thread(target=play, args=(sock,)))
                players[-1].start()

        socks: list[Sock] = []
        players: list[threading.Thread] = []
        acceptor = threading.Thread(target=run)
        acceptor.start()
        try:
            yield
        finally:
            over.set()
            socket.create_connection((HOST, self.port)).close()
            acceptor.join()
            for sock in socks:
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)
            for player in players:
                player.join()
