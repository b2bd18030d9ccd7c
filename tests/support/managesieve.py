"""A ManageSieve client (RFC 5804), as far as tests need one."""

import base64
import re
import socket
import ssl
from typing import NamedTuple, Self

from support.processes import HOST

SECONDS = 20
STATUSES = (b"OK", b"NO", b"BYE")


class Response(NamedTuple):
    """What a server says to a command.

    Attributes:
        status: OK, NO or BYE.
        text: the rest of that line.
        lines: what came before it, literals in the place of their lengths.
    """

    status: str
    text: str
    lines: list[bytes]


class ManageSieve:
    """A connection to a ManageSieve server, greeted."""

    def __init__(self, port: int, context: ssl.SSLContext | None = None) -> None:
        """Connect; with TLS from the first octet on if there is a context."""
        self.sock = socket.create_connection((HOST, port), SECONDS)
        if context:
            self.sock = context.wrap_socket(self.sock, server_hostname=HOST)
        self._file = self.sock.makefile("rb")
        self.greeting = self.response()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the connection."""
        self._file.close()
        self.sock.close()

    def response(self) -> Response:
        """Read a response.

        Raises:
            EOFError: the server has closed the connection instead.
        """
        lines: list[bytes] = []
        while True:
            line = self._line()
            status, _, text = line.partition(b" ")
            if status in STATUSES:
                return Response(status.decode(), text.decode(), lines)
            lines.append(line)

    def _line(self) -> bytes:
        line = self._file.readline()
        if not line:
            raise EOFError
        line = line.removesuffix(b"\r\n")
        if literal := re.search(rb"\{(\d+)\}$", line):
            return line[: literal.start()] + self._file.read(int(literal[1])) + self._line()
        return line

    def ask(self, command: bytes) -> Response:
        """Send a command and read the response."""
        self.sock.sendall(command + b"\r\n")
        return self.response()

    def start_tls(self, context: ssl.SSLContext) -> Response:
        """Start TLS, and return the greeting that follows it."""
        assert self.ask(b"STARTTLS").status == "OK"
        self._file.close()
        self.sock = context.wrap_socket(self.sock, server_hostname=HOST)
        self._file = self.sock.makefile("rb")
        return self.response()

    def log_in(self, user: str, password: str) -> Response:
        """Log in with SASL PLAIN."""
        message = base64.b64encode(f"\0{user}\0{password}".encode())
        return self.ask(b'AUTHENTICATE "PLAIN" "%b"' % message)

    def put_script(self, name: str, script: bytes) -> Response:
        """Upload a script."""
        return self.ask(b'PUTSCRIPT "%b" {%d+}\r\n%b' % (name.encode(), len(script), script))
