"""The dialogues of the mail protocols, without I/O.

A dialogue is a generator over a `Wire`: it yields when it lacks octets and returns what the
session must know. `ClientSide` speaks to the client, `ServerSide` to the real server; POP3, IMAP4
and ManageSieve each have one of both, with the same functions in the same order.
"""

from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

T = TypeVar("T")
Talk = Generator[None, None, T]


def decode(octets: bytes) -> str:
    """A name as it came in, so that `encode` gives the same octets again."""
    return octets.decode("utf-8", "surrogateescape")


def encode(name: str) -> bytes:
    """The octets of a name."""
    return name.encode("utf-8", "surrogateescape")


class ProtocolError(Exception):
    """A peer said what its protocol does not allow, so that nothing that follows can be trusted."""


@dataclass(frozen=True, slots=True)
class Login:
    """What the client gave: names as typed, and the password.

    Attributes:
        user: the authentication identity.
        password: the octets of the password, which nobody decodes.
        authorisation: the authorisation identity (RFC 4616), None where the client gave none.
    """

    user: str
    password: bytes = field(repr=False)
    authorisation: str | None = None

    @property
    def routing_name(self) -> str:
        """The name whose mailbox is wanted: it is looked up, and changed by the options."""
        return self.user if self.authorisation is None else self.authorisation


@dataclass(frozen=True, slots=True)
class TlsWanted:
    """The next octets on the wire are a TLS handshake."""


@dataclass(frozen=True, slots=True)
class Quit:
    """The client has taken its leave."""


@dataclass(frozen=True, slots=True)
class Ready:
    """The real server waits for the log-in."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the real server said to the log-in.

    Attributes:
        accepted: whether the client is logged in.
        status: for the log and for the client: "ok", or "failed: ..." (logging.md section 3).
        line: the real server's own answer without its tag, for `server_resp_line`; empty where
            it gave none.
        goodbye: whether the real server is told that we leave.
        delays: how many times the answer to the client is delayed (protocols.md section 1.4).
    """

    accepted: bool
    status: str
    line: bytes = b""
    goodbye: bool = True
    delays: int = 1


OK = "ok"
LOGIN_DISABLED = "failed: Login Disabled"
NO_SERVER = "failed: Could not determine server"
LOCAL_FAILURE = "failed: local authentication failure"
NOT_CONNECTED = "failed: Could not connect to server"
NEGOTIATION_FAILED = "failed: Connection Negotiation Failure"
TLS_NOT_PRESENT = "failed: TLS not present"
REFUSED = "failed: Re-Authentication Failure"
NO_MECHANISM = "failed: SASL mechanism unavailable"


class ClientSide(Protocol):
    """Our dialogue with the client, we being the server."""

    def greet(self, host: str) -> None:
        """Say the greeting, with host as our name."""

    def tls_started(self) -> None:
        """The link is encrypted now; what was said in the clear is forgotten."""

    def take_login(self) -> Talk[Login | TlsWanted | Quit]:
        """Answer the client's commands until one of them is for the session."""

    def accept(self, verdict: Verdict) -> None:
        """Tell the client that it is logged in."""

    def refuse(self, verdict: Verdict) -> None:
        """Tell the client that it is not; it may try again."""

    def farewell(self, reason: str) -> None:
        """Say why the connection is closed by us, where the protocol has words for that."""


class ServerSide(Protocol):
    """Our dialogue with the real server, we being the client."""

    def negotiate(self) -> Talk[Ready | TlsWanted | Verdict]:
        """Take the greeting and arrange for TLS; again after TLS has started."""

    def log_in(self, login: Login) -> Talk[Verdict]:
        """Give the client's user name and password."""

    def leave(self) -> Talk[None]:
        """Take leave of a server that refused."""
