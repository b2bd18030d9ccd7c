"""A client's connection until it is logged in: the steps of a log-in, one after the other.

It logs the lines of logging.md section 3, and is not known to keep a password after it.
"""

import contextlib
import ipaddress
import re
import socket
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from perdition import identity, logs, net, protocols
from perdition.backends import Backends
from perdition.identity import Ends, NameRules, State
from perdition.logs import AuthLine, Log, Who
from perdition.maps import Map, MapFailed
from perdition.net import ConnectFailed, ServerItem
from perdition.protocols import (
    ClientSide,
    Login,
    ProtocolError,
    Quit,
    Ready,
    ServerSide,
    TlsWanted,
    Verdict,
    imap4,
    managesieve,
    pop3,
)
from perdition.protocols.wire import LineTooLong, Wire
from perdition.session.channel import Channel, PeerGone, PeerSilent, converse
from perdition.tls import TlsFailed
from perdition.tls.handshakes import OutgoingTls

# How long a real server that refused may take to answer our leave.
LEAVE_SECONDS = 3
TROUBLE = (PeerGone, PeerSilent, LineTooLong, ProtocolError)
# A client's lines that are shown in the traffic log; any other one may hold a password.
HARMLESS = re.compile(
    rb"(?!PASS )(?:\S+ )?(?:CAPABILITY|NOOP|LOGOUT|STARTTLS|STLS|CAPA|QUIT|USER \S*)\r?\n?",
    re.IGNORECASE,
)
LITERAL_AHEAD = re.compile(rb"\{\d+\+?\}\r?\n")


class Closed(Exception):
    """The session is over, and has said why."""


class NotAllowed(Exception):
    """The client has named a real server that it may not have; the text says which and why."""


class Dialogues(NamedTuple):
    """The two sides of a protocol."""

    client: Callable[..., ClientSide]
    server: Callable[..., ServerSide]


DIALOGUES = {
    "POP3": Dialogues(pop3.ClientSide, pop3.ServerSide),
    "IMAP4": Dialogues(imap4.ClientSide, imap4.ServerSide),
    "MANAGESIEVE": Dialogues(managesieve.ClientSide, managesieve.ServerSide),
}


@dataclass(frozen=True, slots=True)
class Service:
    """What all sessions of a listener share; nothing in it changes.

    Attributes:
        protocol: the protocol's name for the log.
        dialogues: how it is spoken.
        dialogue: what both sides of it are told: capability, ok_line, token, ...
        log: where lines go.
        rules: what is done to user names.
        find: the map.
        backends: the real servers.
        listen_tls: makes the client's socket a TLS one.
        outgoing_tls: TLS to real servers; None where it is not spoken.
        host: the name of one of our addresses.
        options: values of options that are used as they are.
    """

    protocol: str
    dialogues: Dialogues
    dialogue: dict[str, Any]
    log: Log
    rules: NameRules
    find: Map
    backends: Backends
    listen_tls: Callable[[Any], ssl.SSLSocket] | None
    outgoing_tls: OutgoingTls | None
    banner: Callable[[str], str]
    host: Callable[[str], str]
    options: Any


@dataclass(frozen=True, slots=True)
class Established:
    """A session that is logged in: for the relay.

    Attributes:
        client, server: the connections to both.
        to_server, to_client: octets that came early from the other side.
        who: whose session it is.
        auth_line: the line of the log-in, to be logged again.
    """

    client: Channel
    server: Channel
    to_server: bytes
    to_client: bytes
    who: Who
    auth_line: str


class Session:
    """One client, from greeting to log-in.

    Attributes:
        broke_off: it ended in a way that the original counts as a failure.
        is_logged_in: called before the client is told that it is logged in.
    """

    def __init__(self, service: Service, channel: Channel, ends: Ends) -> None:
        self.service = service
        self.options = service.options
        self.log = service.log
        self.channel = channel
        self.ends = ends
        self.peers = ""
        if ends.client:
            self.peers = f"{ends.client}:{ends.client_port}->{ends.local}:{ends.local_port}"
        self.wire = Wire()
        mode = self.options.effective_ssl_mode
        self.mode = mode
        self.client: ClientSide = service.dialogues.client(
            self.wire,
            offer_tls=mode.has(type(mode).TLS_LISTEN),
            force_tls=mode.has(type(mode).TLS_LISTEN_FORCE),
            login_disabled=self.options.login_disabled,
            **service.dialogue,
        )
        self.tags = imap4.Tags()
        self.failures = 0
        self.broke_off = False
        self.is_logged_in: Callable[[], None] = lambda: None

    def run(self) -> Established | None:
        """Serve the client until it is logged in or gone.

        Returns:
            The session for the relay; None where there is none: whoever opened the connection
            closes it then.
        """
        self.broke_off = True
        try:
            self.greet()
            established = self.take_logins()
        except PeerSilent:
            self.log.error(logs.client_silent(self.peers))
        except PeerGone:
            self.log.error(logs.client_gone(self.peers))
        except (LineTooLong, ProtocolError):
            self.farewell("Line too long, mate")
            self.log.error(logs.client_gone(self.peers))
        except Closed:
            pass
        else:
            self.broke_off = False
            return established
        return None

    def greet(self) -> None:
        """TLS from the first octet, where that is wanted, and the greeting."""
        if self.mode.has(type(self.mode).SSL_LISTEN):
            self.start_tls("Fatal error establishing SSL connection to client", implicit=True)
        self.client.greet(self.service.banner(self.ends.local))
        try:
            self.channel.flush(self.wire)
        except (PeerGone, PeerSilent) as error:
            self.log.error(f"Fatal error writing to client  {self.peers}.Exiting child.")
            raise Closed from error

    def take_logins(self) -> Established | None:
        """Take log-ins until one of them is good.

        Returns:
            None where the client took its leave.
        """
        delay = self.options.failure_delay
        while True:
            match converse(self.client.take_login(), self.wire, self.channel, delay):
                case Quit():
                    self.log.info(logs.closing_null(Who(self.peers)))
                    return None
                case TlsWanted():
                    # What came in the clear must not count as if it came under TLS.
                    self.wire.take_unread()
                    self.start_tls("Fatal error establishing TLS connection", implicit=False)
                    self.channel.flush(self.wire)
                case Login() as login:
                    established = Attempt(self, login).run()
                    if established is not None:
                        return established
                    self.failures += 1
                    if 0 < self.options.login_attempts <= self.failures:
                        self.farewell("Too many failed log-ins, mate")
                        self.log.info(f"Too many failed log-ins: {Who(self.peers)}")
                        return None

    def start_tls(self, failure: str, *, implicit: bool) -> None:
        """Start TLS with the client; failure is the line to log where that fails."""
        wrap = self.service.listen_tls
        assert wrap is not None  # noqa: S101 - the mode says so
        try:
            self.channel.start_tls(wrap, implicit=implicit)
        except (TlsFailed, OSError, ValueError) as error:
            self.log.error(failure)
            self.log.debug(f"TLS with {self.peers}: {error}")
            raise Closed from error
        self.client.tls_started()

    def farewell(self, reason: str) -> None:
        """Tell the client why we close, if it still listens."""
        self.client.farewell(reason)
        try:
            self.channel.flush(self.wire)
        except (PeerGone, PeerSilent):
            return


class Attempt:
    """One log-in of a session."""

    def __init__(self, session: Session, login: Login) -> None:
        self.session = session
        self.service = session.service
        self.options = session.options
        self.log = session.log
        self.login = login
        self.server_item = ServerItem("", "(null)", "(null)")
        implicit = session.mode.has(type(session.mode).SSL_OUTGOING)
        self.server_secure = "ssl" if implicit else "plaintext"

    def run(self) -> Established | None:
        """Carry it out, and tell client and log how it went.

        Returns:
            The session for the relay; None where the client may try again.

        Raises:
            Closed: the client's connection ends with this.
        """
        outcome = self.carry_out()
        session = self.session
        if isinstance(outcome, Verdict):
            if not self.options.server_resp_line:
                outcome = replace(outcome, line=b"")
            session.client.refuse(outcome)
            session.channel.flush(session.wire, self.options.failure_delay)
            self.log_auth(outcome.status)
            return None
        return outcome

    def carry_out(self) -> Verdict | Established:
        """Everything from the credentials to the real server's verdict (protocols.md 5)."""
        if self.options.login_disabled or self.must_start_tls():
            return Verdict(False, protocols.LOGIN_DISABLED)
        try:
            found = self.find_server()
        except NotAllowed as error:
            # Not the default server either: the password is meant for another one.
            self.log.warning(f"{error}: {self.who()}")
            self.server_item = self.service.backends.nameless(None)
            return Verdict(False, protocols.NO_SERVER)
        candidates = self.service.backends.candidates(found)
        if not candidates:
            self.server_item = self.service.backends.nameless(found)
            return Verdict(False, protocols.NO_SERVER)
        for item in candidates:
            self.server_item = item
            try:
                sock = self.service.backends.connect(item, self.session.channel.patience)
            except ConnectFailed as error:
                self.log.debug(f"connect: {error}")
                continue
            return self.use(sock)
        return Verdict(False, protocols.NOT_CONNECTED)

    def use(self, sock: socket.socket) -> Verdict | Established:
        """Log in over a connection to a real server; it is closed unless the session is made."""
        logged = self.log.level >= logs.DEBUG and self.options.connection_logging
        channel = Channel(
            sock,
            self.session.channel.patience,
            timeout=self.options.authenticate_timeout,
            shown=traffic(self.log, "REAL:  ") if logged else None,
            said=traffic(self.log, "SELF:  ") if logged else None,
        )
        outcome: Verdict | Established | None = None
        try:
            outcome = self.speak_to(channel)
        finally:
            if not isinstance(outcome, Established):
                channel.close()
        return outcome

    def speak_to(self, channel: Channel) -> Verdict | Established:
        """Log in at the real server.

        Raises:
            Closed: it cannot be spoken with.
        """
        session, mode = self.session, self.session.mode
        wire = Wire()
        server = self.service.dialogues.server(
            wire,
            want_tls=mode.has(type(mode).TLS_OUTGOING),
            force_tls=mode.has(type(mode).TLS_OUTGOING_FORCE),
            client=session.wire,
            tags=session.tags,
            token=self.service.dialogue["token"],
        )
        if mode.has(type(mode).SSL_OUTGOING):
            self.start_tls(channel, implicit=True)
        stage = "Fatal error negotiating setup. Exiting child."
        try:
            verdict = self.negotiate(server, wire, channel)
            if verdict is None:
                stage = "Fatal error authenticating user. Exiting child."
                verdict = converse(server.log_in(self.name_at_server()), wire, channel)
        except TROUBLE as error:
            # What the real server said before belongs to the client.
            session.channel.flush(session.wire)
            self.log.error(stage)
            self.log.debug(f"real server {self.server_item}: {error!r}")
            self.log_auth(protocols.NEGOTIATION_FAILED)
            raise Closed from error
        session.channel.flush(session.wire)
        if not verdict.accepted:
            if verdict.goodbye:
                self.leave(server, wire, channel)
            return verdict
        if not self.options.server_resp_line:
            verdict = replace(verdict, line=b"")
        session.is_logged_in()
        session.client.accept(verdict)
        session.channel.flush(session.wire)
        line = self.log_auth(protocols.OK)
        return Established(
            session.channel,
            channel,
            session.wire.take_unread(),
            wire.take_unread(),
            self.who(),
            line,
        )

    def negotiate(self, server: ServerSide, wire: Wire, channel: Channel) -> Verdict | None:
        """Greeting and TLS; a verdict where it ends with that."""
        while True:
            match converse(server.negotiate(), wire, channel):
                case Ready():
                    if self.session.mode & type(self.session.mode).TLS_OUTGOING and (
                        channel.secure == "plaintext"
                    ):
                        self.log.warning(
                            f"real server {self.server_item}: tls_outgoing is set, but it offers "
                            "no TLS: the connection is not encrypted"
                        )
                    return None
                case TlsWanted():
                    # What came in the clear must not count as if it came under TLS.
                    wire.take_unread()
                    self.start_tls(channel, implicit=False)
                case Verdict() as verdict:
                    return verdict

    def start_tls(self, channel: Channel, *, implicit: bool) -> None:
        """Start TLS with the real server.

        Raises:
            Closed: it failed, or the server's certificate is not good.
        """
        tls = self.service.outgoing_tls
        assert tls is not None  # noqa: S101 - the mode says so
        host = self.server_item.host
        try:
            channel.start_tls(lambda sock: tls.wrap(sock, host), implicit=implicit)
        except (TlsFailed, OSError, ValueError) as error:
            for line in getattr(error, "log_lines", ()):
                self.log.error(line)
            self.log.error("Fatal error establishing SSL connection")
            self.log.error(f"real server {self.server_item}: TLS: {error}")
            self.log_auth(protocols.NEGOTIATION_FAILED)
            raise Closed from error
        self.server_secure = channel.secure

    def leave(self, server: ServerSide, wire: Wire, channel: Channel) -> None:
        """Take leave of a real server that refused."""
        with channel.patience.limited(LEAVE_SECONDS), contextlib.suppress(*TROUBLE):
            converse(server.leave(), wire, channel)

    def must_start_tls(self) -> bool:
        mode = self.session.mode
        forced = mode.has(type(mode).TLS_LISTEN_FORCE)
        return forced and self.session.channel.secure == "plaintext"

    def find_server(self) -> ServerItem | None:
        """The server that the client or the map names; the login's name may change by it.

        Raises:
            NotAllowed: the client has named one that it may not have.
        """
        options, rules = self.options, self.service.rules
        typed = self.login.routing_name
        by_client = options.client_server_specification
        name = rules.name_for(State.SERVERNAME_LOOKUP, typed, self.host, strip=not by_client)
        if by_client and rules.delimiter in name:
            self.rename(rules.split(typed)[0])
            try:
                found = net.parse_item(rules.split(name)[1], rules.delimiter)
            except net.Ambiguous as error:
                raise NotAllowed(logs.escape(str(error))) from error
            if found.host and not allowed(found.host, options.client_server_allow):
                raise NotAllowed(f"client_server_allow: {logs.escape(found.host)} is not in it")
            return found
        for key in self.keys(name):
            try:
                value = self.service.find.lookup(key.encode("utf-8", "surrogateescape"))
            except MapFailed as error:
                self.log.error(f"map: {error}")
                return None
            if value is None:
                continue
            if not value:
                return None
            try:
                found = net.parse_item(protocols.decode(value), rules.delimiter)
            except net.Ambiguous as error:
                self.log.error(f"map: {logs.escape(str(error))}")
                return None
            if options.username_from_database and found.user:
                self.rename(found.user)
            return found
        return None

    def keys(self, name: str) -> Iterator[str]:
        """What to look up, in order."""
        if not self.options.query_key:
            yield name
        for text in self.options.query_key:
            key = identity.key(text, name, self.service.rules, self.session.ends)
            self.log.debug(f'"{text}"->"{logs.escape(key)}"')
            yield key

    def rename(self, name: str) -> None:
        """Give the login another name: that of the identity whose mailbox is wanted."""
        if self.login.authorisation is None:
            self.login = replace(self.login, user=name)
        else:
            self.login = replace(self.login, authorisation=name)

    def name_at_server(self) -> Login:
        """The login with the name that the real server gets."""
        name = self.service.rules.name_for(State.REMOTE_LOGIN, self.login.routing_name, self.host)
        if self.login.authorisation is None:
            return replace(self.login, user=name)
        return replace(self.login, authorisation=name)

    def host(self) -> str:
        """The name of the address that the client reached."""
        return self.service.host(self.session.ends.local)

    def who(self) -> Who:
        return Who(self.session.peers, self.login.authorisation, self.login.user)

    def log_auth(self, status: str) -> str:
        """Log the line of this attempt, and return it."""
        failed = status != protocols.OK
        wanted = {"never": False, "fail": failed, "ok": not failed, "always": True}
        shown = self.options.debug and wanted[self.options.log_passwd]
        line = AuthLine(
            self.who(),
            f"{self.server_item.host}:{self.server_item.port}",
            self.service.protocol,
            self.session.channel.secure,
            self.server_secure,
            self.login.password if shown else None,
        ).text(status)
        self.log.notice(line)
        return line


def allowed(host: str, patterns: tuple[str, ...]) -> bool:
    """Whether a client may name that real server.

    Args:
        host: a name or an address.
        patterns: names, ".domain" for all names in it, addresses, networks; none: any host.
    """
    if not patterns:
        return True
    for pattern in patterns:
        if host.lower() == pattern.lower():
            return True
        if pattern.startswith(".") and host.lower().endswith(pattern.lower()):
            return True
        try:
            if ipaddress.ip_address(host) in ipaddress.ip_network(pattern, strict=False):
                return True
        except ValueError:
            continue
    return False


def traffic(log: Log, tag: str) -> Callable[[bytes], None]:
    """Logs what goes over a connection (reference: logging.md section 6)."""
    return lambda data: log.debug(f'{tag} "{logs.show_data(data)}"')


def client_traffic(log: Log) -> Callable[[bytes], None]:
    """The same for what a client says before it is logged in: without what may be a password.

    The end of a line that has begun before, and what follows the size of a literal, may be one
    whatever it looks like.
    """
    at_start = True

    def shown(data: bytes) -> None:
        nonlocal at_start
        parts = []
        for line in data.splitlines(keepends=True):
            parts.append(line if at_start and HARMLESS.fullmatch(line) else b"********")
            at_start = line.endswith(b"\n") and not LITERAL_AHEAD.search(line)
        log.debug(f'CLIENT: "{logs.show_data(b"".join(parts))}"')

    return shown
