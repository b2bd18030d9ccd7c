"""What sessions are given, and what they give to the relay."""

from collections.abc import Callable, Container
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from perdition.backends import Backends
from perdition.identity import NameRules
from perdition.logs import Log, Who
from perdition.net import ServerItem
from perdition.parameters import Parameters
from perdition.patience import Patience
from perdition.protocols import (
    ClientSide,
    Login,
    ServerSide,
    Terms,
    imap4,
    imap4_server,
    managesieve,
    pop3,
)
from perdition.relay.guard import Guard
from perdition.session.channel import Channel, Tls
from perdition.session.finding import Finder


class Closed(Exception):
    """The session is over, and has said why."""


class NotKnown(Exception):
    """Nobody can say whether a log-in is good here; the text says why."""


# Given a log-in, the client's address and the session's patience: why it is not good, empty if it
# is. Raises NotKnown.
Authenticate = Callable[[Login, str, Patience], str]


class MasterUser(NamedTuple):
    """Who may log in for others at the real servers.

    Attributes:
        user: its name.
        password: not shown anywhere.
        separator: between the other's name and its own where one name has to say both; empty for
            an authorisation identity.
    """

    user: str
    password: bytes
    separator: str = ""

    def __repr__(self) -> str:
        return f"MasterUser(user={self.user!r})"

    def acting_for(self, login: Login) -> Login:
        """The log-in that gives the mailbox of another one, without its password.

        Raises:
            ValueError: the name has the separator in it, and could be read as another one; or there
                is none, and the mailbox would be the master user's own. The text names the option.
        """
        name = login.routing_name
        if not name:
            raise ValueError("outgoing_master_user: no name of a user is left")
        if self.separator and self.separator in name:
            raise ValueError(f"outgoing_master_separator: {self.separator!r} in the name of a user")
        if self.separator:
            return Login(f"{name}{self.separator}{self.user}", self.password)
        return Login(self.user, self.password, name)


class Dialogues(NamedTuple):
    """The two sides of a protocol."""

    client: Callable[..., ClientSide]
    server: Callable[..., ServerSide]


DIALOGUES = {
    "POP3": Dialogues(pop3.ClientSide, pop3.ServerSide),
    "IMAP4": Dialogues(imap4.ClientSide, imap4_server.ServerSide),
    "MANAGESIEVE": Dialogues(managesieve.ClientSide, managesieve.ServerSide),
}


class OutgoingTls(Protocol):
    """TLS with real servers."""

    def to(self, parameters: Parameters | None, /) -> Tls:
        """TLS with a server of which that is said; raises TlsFailed."""


@dataclass(frozen=True, slots=True)
class Service:
    """What all sessions of a listener share; nothing in it changes.

    Attributes:
        protocol: the protocol's name for the log.
        dialogues: how it is spoken.
        terms: what both sides of the dialogue are told.
        log: where lines go.
        rules: what is done to user names.
        finder: finds the real servers for a log-in.
        backends: the real servers.
        authenticate: local authentication, None where there is none.
        master_user: logs in for those that have been authenticated here, None where there is none.
        listen_tls, outgoing_tls: TLS with clients and with real servers, None where there is none.
        ssl_listen, ssl_outgoing: TLS begins with the first octet there.
        header_from: whose connections begin with a PROXY header; empty for nobody's.
        trusted: who may say with ID or XCLIENT who its client is.
        is_logged: what goes over the connections is in the debug log.
        host: the name of one of our addresses.
        options: values of options that are used as they are.
    """

    protocol: str
    dialogues: Dialogues
    terms: Terms
    log: Log
    rules: NameRules
    finder: Finder
    backends: Backends
    authenticate: Authenticate | None
    master_user: MasterUser | None
    listen_tls: Tls | None
    outgoing_tls: OutgoingTls | None
    ssl_listen: bool
    ssl_outgoing: bool
    header_from: Container[str]
    trusted: Container[str]
    is_logged: bool
    banner: Callable[[str], str]
    host: Callable[[str], str]
    options: Any

    def begins_with_tls(self, item: ServerItem) -> bool:
        """Whether TLS begins with the first octet with that real server."""
        said = item.options.tls if item.options else ""
        return said == "ssl" if said else self.ssl_outgoing

    def terms_with(self, item: ServerItem) -> Terms:
        """The terms, as they are with that real server.

        Whoever is known by a certificate gets no password without having shown it.
        """
        options = item.options or Parameters()
        said = options.tls
        if options.wants_tls and said != "none" and not self.begins_with_tls(item):
            said = "starttls_force"
        if not said:
            return self.terms
        return self.terms._replace(
            tls_outgoing=said in {"starttls", "starttls_force"},
            tls_outgoing_force=said == "starttls_force",
        )


class Established(NamedTuple):
    """A session that is logged in: for the relay.

    Attributes:
        client, server: the connections to both.
        answer: what the client is told first.
        to_server, to_client: octets that came early from the other side.
        who: whose session it is.
        auth_line: the line of the log-in, to be logged again.
        guard: looks at what the client says from now on, where somebody has to.
    """

    client: Channel
    server: Channel
    answer: bytes
    to_server: bytes
    to_client: bytes
    who: Who
    auth_line: str
    guard: Guard | None = None
