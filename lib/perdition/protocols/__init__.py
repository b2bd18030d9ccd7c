"""The dialogues of the mail protocols, without I/O.

A dialogue is a generator over a `Wire`: it yields when it lacks octets and returns what the
session must know. `ClientSide` speaks to the client, `ServerSide` to the real server; POP3, IMAP4
and ManageSieve each have one of both, with the same functions in the same order.
"""

from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

if TYPE_CHECKING:
    from perdition.protocols.client_identity import Pairs, Told

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


class Terms(NamedTuple):
    """What the options say about both sides of a dialogue: the same for all sessions.

    Attributes:
        capability: the operator's list of the protocol, one string.
        ok_line: what a client that is logged in is told.
        token: stands for our configuration, in the greeting.
        tls_listen, tls_listen_force: clients may, or must, start TLS in the dialogue.
        tls_outgoing, tls_outgoing_force: the same of our side towards the real server.
        login_disabled: no log-in is taken.
        server_resp_line: the client is told the real server's own answer.
        mechanisms: of SASL, that clients may use, in the order in which they are announced.
        grows: capability is 2.2's own list: what there is beside it is announced as well.
        compat: both peers are told what 2.2 told them, and no more.
    """

    capability: str
    ok_line: str
    token: str
    tls_listen: bool = False
    tls_listen_force: bool = False
    tls_outgoing: bool = False
    tls_outgoing_force: bool = False
    login_disabled: bool = False
    server_resp_line: bool = False
    mechanisms: tuple[str, ...] = ()
    grows: bool = False
    compat: bool = False

    def must_start_tls(self, in_tls: bool, /) -> bool:
        """Whether no log-in is taken before TLS has started."""
        return self.tls_listen_force and not in_tls

    def takes_no_login(self, in_tls: bool, /) -> bool:
        """Whether every log-in is refused in this state of the link."""
        return self.login_disabled or (self.tls_listen_force and not in_tls)


class Exchange(NamedTuple):
    """The client's first message of a SASL exchange that the real server is to end.

    Attributes:
        mechanism: its name in upper case.
        before, after: what stands before and after the user's name in it, if that can be changed;
            else all of it, and None. Not shown anywhere.
    """

    mechanism: str
    before: bytes
    after: bytes | None = None

    def __repr__(self) -> str:
        return f"Exchange(mechanism={self.mechanism!r})"


class Login(NamedTuple):
    """What the client gave: names as typed, and the password.

    Attributes:
        user: the authentication identity.
        password: the octets of the password, which nobody decodes; not shown anywhere.
        authorisation: the authorisation identity (RFC 4616), None where the client gave none.
        exchange: goes on between the client and the real server; there is no password then.
        is_verified: the client has been authenticated here, by its certificate.
        is_refused: that certificate does not let it act for the authorisation identity.
    """

    user: str
    password: bytes
    authorisation: str | None = None
    exchange: Exchange | None = None
    is_verified: bool = False
    is_refused: bool = False

    def __repr__(self) -> str:
        return f"Login(user={self.user!r}, authorisation={self.authorisation!r})"

    @property
    def routing_name(self) -> str:
        """The name whose mailbox is wanted: it is looked up, and changed by the options."""
        return self.user if self.authorisation is None else self.authorisation

    def without_repetition(self) -> "Login":
        """The same log-in, where both identities are one name with that name given once.

        RFC 4616 has both mean the same; but one name goes to real servers without SASL as well,
        the options change all of it, and a guessed password is logged like any other.
        """
        return self._replace(authorisation=None) if self.authorisation == self.user else self


# One that is refused, and logged, before name and password are asked for.
IN_VAIN = Login("", b"")


@dataclass(frozen=True, slots=True)
class TlsWanted:
    """The next octets on the wire are a TLS handshake."""


@dataclass(frozen=True, slots=True)
class Quit:
    """The client has taken its leave."""


@dataclass(frozen=True, slots=True)
class Ready:
    """The real server waits for the log-in."""


READY = Ready()


class Challenge(NamedTuple):
    """What the real server asks in an exchange, for the client to answer.

    Attributes:
        octets: decoded; not shown anywhere.
    """

    octets: bytes

    def __repr__(self) -> str:
        return "Challenge()"


class Verdict(NamedTuple):
    """What the real server said to the log-in.

    Attributes:
        accepted: whether the client is logged in.
        status: for the log and for the client: "ok", or "failed: ..." (logging.md section 3).
        line: the real server's own answer without its tag, for `server_resp_line`; empty where
            it gave none.
        goodbye: whether the real server is told that we leave.
        delays: how many times the answer to the client is delayed (protocols.md section 1.4).
        is_temporary: the client may be told that it is not its name or password (RFC 5530, 3206).
        code: the response code of that answer, without brackets; empty where it has none.
        capabilities: what the real server announces once the client is logged in; empty where it
            says nothing of it, or has told the client itself.
        is_revocable: the real server has UNAUTHENTICATE (RFC 8437).
        success_data: the last word of an exchange, which came with the answer (RFC 5804, 1.3).
        logged: the status for the log, where the client is told another one; else empty.
    """

    accepted: bool
    status: str
    line: bytes = b""
    goodbye: bool = True
    delays: int = 1
    is_temporary: bool = False
    code: bytes = b""
    capabilities: bytes = b""
    success_data: bytes | None = None
    is_revocable: bool = False
    logged: str = ""


OK = "ok"
LOGIN_DISABLED = "failed: Login Disabled"
NO_SERVER = "failed: Could not determine server"
LOCAL_FAILURE = "failed: local authentication failure"
MAP_FAILED = "failed: Map out of order"
LOCAL_TROUBLE = "failed: local authentication out of order"
NOT_CONNECTED = "failed: Could not connect to server"
NEGOTIATION_FAILED = "failed: Connection Negotiation Failure"
TLS_NOT_PRESENT = "failed: TLS not present"
REFUSED = "failed: Re-Authentication Failure"
NO_MECHANISM = "failed: SASL mechanism unavailable"
CANCELLED = "failed: Authentication cancelled"


class ClientSide(Protocol):
    """Our dialogue with the client, we being the server.

    Attributes:
        is_trusted: whether the client is a proxy that may say who its own client is.
        pairs: what the client says of its program (RFC 2971).
    """

    is_trusted: bool
    pairs: "Pairs"

    def greet(self, host: str) -> None:
        """Say the greeting, with host as our name."""

    def tls_started(self, certified: str | None = None) -> None:
        """The link is encrypted now; what was said in the clear is forgotten.

        Args:
            certified: the user whom the client's certificate is for, None where it has none.
        """

    def take_login(self) -> "Talk[Login | TlsWanted | Quit | Told]":
        """Answer the client's commands until one of them is for the session.

        It is not answered where somebody is told of who is not trusted.
        """

    def challenge(self, octets: bytes) -> Talk[bytes | None]:
        """Ask the client, in an exchange.

        Returns:
            Its answer; None where it breaks the exchange off.

        Raises:
            BadResponse: what it says is no answer.
        """

    def accept(self, verdict: Verdict) -> None:
        """Tell the client that it is logged in."""

    def refuse(self, verdict: Verdict) -> None:
        """Tell the client that it is not; it may try again."""

    def farewell(self, reason: str, *, unasked: bool = False) -> None:
        """Say why the connection is closed by us, where the protocol has words for that.

        Args:
            reason: the text.
            unasked: no command waits for an answer.
        """


class ServerSide(Protocol):
    """Our dialogue with the real server, we being the client.

    Attributes:
        was_told: whether it has taken what was said of the client.
    """

    was_told: bool

    def negotiate(self) -> Talk[Ready | TlsWanted | Verdict]:
        """Take the greeting and arrange for TLS; again after TLS has started."""

    def log_in(self, login: Login) -> Talk[Verdict | Challenge]:
        """Give the client's user name and password, or begin its exchange."""

    def respond(self, response: bytes | None) -> Talk[Verdict | Challenge]:
        """Give the client's answer to a challenge; None breaks the exchange off."""

    def leave(self) -> Talk[None]:
        """Take leave of a server that refused."""
