"""Mail programs for all three protocols, driven alike: TLS in each form, a log-in, a command."""

import imaplib
import poplib
import socket
import ssl
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple, Protocol

from support.managesieve import ManageSieve
from support.processes import HOST

SECONDS = 30


class Refused(Exception):
    """A log-in was refused; the text is what the client was told."""


class Client(Protocol):
    """A mail program, connected and greeted.

    With a context it begins with TLS, otherwise without.
    """

    def __init__(self, port: int, context: ssl.SSLContext | None = None) -> None: ...

    @property
    def sock(self) -> socket.socket:
        """The connection."""

    def start_tls(self, context: ssl.SSLContext) -> None:
        """Ask for TLS, and begin it."""

    def log_in(self, user: str, password: str) -> None:
        """Log in.

        Raises:
            Refused: the server does not want that.
        """

    def use(self) -> None:
        """Have a command answered that only a real server knows."""

    def close(self) -> None:
        """End the connection."""


class Imap:
    """imaplib."""

    def __init__(self, port: int, context: ssl.SSLContext | None = None) -> None:
        self._imap = (
            imaplib.IMAP4_SSL(HOST, port, ssl_context=context, timeout=SECONDS)
            if context
            else imaplib.IMAP4(HOST, port, SECONDS)
        )

    @property
    def sock(self) -> socket.socket:
        return self._imap.socket()

    def start_tls(self, context: ssl.SSLContext) -> None:
        assert "STARTTLS" in self._imap.capabilities
        self._imap.starttls(context)
        assert "STARTTLS" not in self._imap.capabilities

    def log_in(self, user: str, password: str) -> None:
        try:
            self._imap.login(user, password)
        except imaplib.IMAP4.error as error:
            raise Refused(str(error)) from error

    def use(self) -> None:
        assert self._imap.select() == ("OK", [b"0"])

    def close(self) -> None:
        self._imap.shutdown()


class Pop:
    """poplib."""

    def __init__(self, port: int, context: ssl.SSLContext | None = None) -> None:
        self._pop = (
            poplib.POP3_SSL(HOST, port, timeout=SECONDS, context=context)
            if context
            else poplib.POP3(HOST, port, SECONDS)
        )

    @property
    def sock(self) -> socket.socket:
        return self._pop.sock

    def start_tls(self, context: ssl.SSLContext) -> None:
        assert "STLS" in self._pop.capa()
        self._pop.stls(context)
        assert "STLS" not in self._pop.capa()

    def log_in(self, user: str, password: str) -> None:
        try:
            self._pop.user(user)
            self._pop.pass_(password)
        except poplib.error_proto as error:
            raise Refused(str(error)) from error

    def use(self) -> None:
        assert self._pop.stat() == (0, 0)

    def close(self) -> None:
        self._pop.close()


class Sieve:
    """The client of support.managesieve."""

    def __init__(self, port: int, context: ssl.SSLContext | None = None) -> None:
        self._sieve = ManageSieve(port, context)
        self._offers = self._sieve.greeting.lines

    @property
    def sock(self) -> socket.socket:
        return self._sieve.sock

    def start_tls(self, context: ssl.SSLContext) -> None:
        assert b'"STARTTLS"' in self._offers
        assert b'"STARTTLS"' not in self._sieve.start_tls(context).lines

    def log_in(self, user: str, password: str) -> None:
        answer = self._sieve.log_in(user, password)
        if answer.status != "OK":
            raise Refused(answer.text)

    def use(self) -> None:
        assert self._sieve.ask(b"LISTSCRIPTS") == ("OK", '"Listscripts completed."', [])

    def close(self) -> None:
        self._sieve.close()


class Spoken(NamedTuple):
    """A protocol, as tests need to know it.

    Attributes:
        client: what speaks it.
        plain: Dovecot's listener that begins without TLS.
        secure: Dovecot's listener that begins with TLS.
    """

    client: type[Client]
    plain: str
    secure: str


SPOKEN: Mapping[str, Spoken] = MappingProxyType(
    {
        "IMAP4": Spoken(Imap, "imap", "imaps"),
        "POP3": Spoken(Pop, "pop3", "pop3s"),
        "MANAGESIEVE": Spoken(Sieve, "sieve", "sieves"),
    }
)
