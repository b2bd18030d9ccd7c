"""The mail clients of `make demo`: Python's own for IMAP and POP3, and one for ManageSieve."""

import base64
import contextlib
import imaplib
import poplib
import socket
import ssl
from types import TracebackType
from typing import Self

TIMEOUT = 30
HOST = "127.0.0.1"


class Unexpected(Exception):
    """A server said something else than yes."""


def fetch(protocol: str, port: int, user: str, password: str, tls: ssl.SSLContext) -> list[bytes]:
    """Log in, and fetch all that is there: the messages, or for MANAGESIEVE the scripts' names.

    Raises:
        Unexpected: the server refused.
        OSError: the connection broke, or its TLS is not good.
        imaplib.IMAP4.error: the server refused.
        poplib.error_proto: the server refused.
    """
    match protocol:
        case "IMAP4S":
            return fetch_imap(
                imaplib.IMAP4_SSL(HOST, port, ssl_context=tls, timeout=TIMEOUT), user, password
            )
        case "IMAP4":
            imap = imaplib.IMAP4(HOST, port, timeout=TIMEOUT)
            imap.starttls(tls)
            return fetch_imap(imap, user, password)
        case "POP3S":
            return fetch_pop3(
                poplib.POP3_SSL(HOST, port, context=tls, timeout=TIMEOUT), user, password
            )
        case "POP3":
            pop3 = poplib.POP3(HOST, port, timeout=TIMEOUT)
            pop3.stls(tls)
            return fetch_pop3(pop3, user, password)
    with ManageSieve(port) as sieve:
        sieve.start_tls(tls)
        sieve.log_in(user, password)
        return sieve.list_scripts()


def fetch_imap(imap: imaplib.IMAP4, user: str, password: str) -> list[bytes]:
    """Fetch the messages of the inbox."""
    with imap:
        imap.login(user, password)
        imap.select("INBOX", readonly=True)
        _, parts = imap.fetch("1:*", "(BODY.PEEK[])")
        return [part[1] for part in parts if isinstance(part, tuple)]


def fetch_pop3(pop3: poplib.POP3, user: str, password: str) -> list[bytes]:
    """Fetch all messages."""
    with contextlib.closing(pop3):
        pop3.user(user)
        pop3.pass_(password)
        numbers = range(1, pop3.stat()[0] + 1)
        messages = [b"\r\n".join((*pop3.retr(number)[1], b"")) for number in numbers]
        pop3.quit()
        return messages


class ManageSieve:
    """As much of a ManageSieve client (RFC 5804) as the demo needs."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection((HOST, port), timeout=TIMEOUT)
        self._lines = self._socket.makefile("rb")
        self._answer()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._lines.close()
        self._socket.close()

    def start_tls(self, tls: ssl.SSLContext) -> None:
        """Go on with TLS; the server then tells its capabilities again."""
        self._command(b"STARTTLS")
        self._lines.close()
        self._socket = tls.wrap_socket(self._socket, server_hostname=HOST)
        self._lines = self._socket.makefile("rb")
        self._answer()

    def log_in(self, user: str, password: str) -> None:
        words = base64.b64encode(f"\0{user}\0{password}".encode())
        self._command(b'AUTHENTICATE "PLAIN" "%b"' % words)

    def put_script(self, name: str, script: bytes) -> None:
        self._command(b'PUTSCRIPT "%b" {%d+}\r\n%b' % (name.encode(), len(script), script))

    def list_scripts(self) -> list[bytes]:
        return [line.split(b'"')[1] for line in self._command(b"LISTSCRIPTS")]

    def _command(self, command: bytes) -> list[bytes]:
        self._socket.sendall(command + b"\r\n")
        return self._answer()

    def _answer(self) -> list[bytes]:
        """The lines of an answer, without its OK.

        Raises:
            Unexpected: the answer is another, or none.
        """
        lines: list[bytes] = []
        while not (line := self._lines.readline()).upper().startswith(b"OK"):
            if not line or line.upper().startswith((b"NO", b"BYE")):
                raise Unexpected(line.decode(errors="replace").strip() or "connection closed")
            lines.append(line.rstrip())
        return lines
