"""One log-in of a session: from the credentials to the real server's verdict."""

import contextlib
import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING

from perdition import logs, net, protocols
from perdition.logs import Who
from perdition.maps import MapFailed
from perdition.net import ConnectFailed, ServerItem
from perdition.protocols import (
    Challenge,
    Login,
    ProtocolError,
    Ready,
    ServerSide,
    TlsWanted,
    Verdict,
    managesieve,
    sasl,
)
from perdition.protocols.client_identity import NOBODY
from perdition.protocols.wire import Wire
from perdition.session import exchange, introduction, local_authentication, overheard
from perdition.session.channel import Channel, PeerGone, converse
from perdition.session.exchange import TROUBLE
from perdition.session.finding import Asked, Finding, NotAllowed, Refused
from perdition.session.service import Closed, Established
from perdition.session.traffic import exchange_traffic, traffic
from perdition.tls import TlsFailed

if TYPE_CHECKING:
    from perdition.session.session import Session

# How long a real server that refused may take to answer our leave.
LEAVE_SECONDS = 3
# RFC 5530: the client is who it says, and may not act for the one that it names.
NOT_AUTHORISED = Verdict(False, protocols.REFUSED, code=b"AUTHORIZATIONFAILED")


class Attempt:
    """One log-in of a session."""

    def __init__(self, session: "Session", login: Login) -> None:
        self.session = session
        self.service = session.service
        self.options = session.options
        self.log = session.log
        self.login = login
        # The map's, for the real server alone.
        self.password: bytes | None = None
        self.server_item = ServerItem("", "(null)", "(null)")
        self.server_secure = "ssl" if session.service.ssl_outgoing else "plaintext"
        # As they are with that server.
        self.terms = session.service.terms
        # How the real server is told who the client is.
        self.identity_form = "none"

    def run(self) -> Established | None:
        """Carry it out, and tell client and log how it went.

        Returns:
            The session for the relay; None where the client may try again.

        Raises:
            Closed: the client's connection ends with this.
        """
        session = self.session
        outcome: Verdict | Established
        try:
            outcome = NOT_AUTHORISED if self.login.is_refused else self.carry_out()
        except net.NameUnknown as error:
            self.log.error(logs.no_domain(session.ends.client, str(error)))
            outcome = Verdict(False, protocols.MAP_FAILED, is_temporary=True)
        if isinstance(outcome, Verdict):
            # Before the pause: who guesses may have gone when it is over.
            self.log_auth(outcome.logged or outcome.status)
            session.client.refuse(outcome)
            session.channel.flush(session.wire, self.options.failure_delay)
            return None
        return outcome

    def carry_out(self) -> Verdict | Established:
        """Everything from the credentials to the real server's verdict (protocols.md 5)."""
        channel = self.session.channel
        if self.service.terms.takes_no_login(channel.secure != "plaintext"):
            return Verdict(False, protocols.LOGIN_DISABLED)
        login = self.login
        if len(login.user) > sasl.NAME_LIMIT or len(login.authorisation or "") > sasl.NAME_LIMIT:
            # Of nobody, and some maps take minutes to see that: (.*)@(.*) of posix_regex.
            self.server_item = self.service.backends.unknown()
            return Verdict(False, protocols.NO_SERVER)
        # The map and the resolver may take as long as the log-in may.
        channel.patience.end()
        try:
            found = self.find()
        except NotAllowed as error:
            # Not the default server either: the password is meant for another one.
            self.login = error.login
            self.log.warning(f"{error}:{self.who()}")
            self.server_item = self.service.backends.unknown()
            return Verdict(False, protocols.NO_SERVER)
        except Refused as error:
            self.log.info(f"map: {logs.escape(str(error))}:{self.who()}")
            return Verdict(False, protocols.REFUSED)
        except MapFailed as error:
            self.log.error(f"map: {logs.escape(str(error))}")
            return Verdict(False, protocols.MAP_FAILED, is_temporary=True)
        candidates = self.service.backends.candidates(found.destinations)
        self.login, self.password = found.login, found.password
        if not candidates:
            for each in found.destinations[:1]:
                self.login = self.service.finder.login_for(self.login, each)
            self.server_item = self.service.backends.nameless(found.destinations)
            return Verdict(False, protocols.NO_SERVER)
        refusal = None
        if self.service.authenticate is not None and not self.login.is_verified:
            self.turn_to(candidates[0])
            refusal = local_authentication.refusal(self.session, self.login, candidates[0])
            # Nobody has looked at the password of a user whom another destination names.
            login_for = self.service.finder.login_for
            known = login_for(found.login, candidates[0])
            candidates = [each for each in candidates if login_for(found.login, each) == known]
        return refusal or self.try_in_order(candidates)

    def try_in_order(self, candidates: Sequence[ServerItem]) -> Verdict | Established:
        """Log in at the first of these servers that can be reached."""
        if self.session.ttl <= 1:
            self.log.error(f"proxy loop:{self.who()}: too many proxies on the way here")
            return Verdict(False, protocols.NEGOTIATION_FAILED)
        login, patience = self.login, self.session.channel.patience
        for item in candidates:
            if patience.gave_way:
                break
            self.turn_to(item)
            self.login = self.service.finder.login_for(login, item)
            try:
                sock = self.service.backends.connect(item, patience)
            except ConnectFailed as error:
                told = self.log.debug if self.terms.compat else self.log.info
                told(f"connect: {error}:{self.who()}")
                continue
            if self.service.backends.rules:
                self.turn_to(self.service.backends.by_address(item, net.peer_host(sock)))
            return self.use(sock)
        if patience.gave_way:
            # While the map or the resolver was asked: the client has got no place any more.
            raise PeerGone
        return Verdict(False, protocols.NOT_CONNECTED)

    def turn_to(self, item: ServerItem) -> None:
        """Have to do with a real server from now on, as is said of it."""
        self.server_item = item
        begins_with_tls, self.terms = self.service.ssl_outgoing, self.service.terms
        if item.options is not None:
            begins_with_tls = self.service.begins_with_tls(item)
            self.terms = self.service.terms_with(item)
        self.server_secure = "ssl" if begins_with_tls else "plaintext"

    def find(self) -> Finding:
        """The real servers of this log-in."""
        session = self.session
        return self.service.finder.find(
            self.login,
            session.ends,
            self.host,
            secure=session.channel.secure,
            attempt=session.failures + 1,
            told=self.log_lookup if self.options.debug else None,
        )

    def log_lookup(self, asked: Asked) -> None:
        """A look-up in the debug log: what of its outcome is no secret, and how long it took."""
        self.log.debug(
            f'map: "{logs.escape(asked.key)}": {asked.outcome}, {asked.seconds * 1000:.2f} ms'
        )

    def use(self, sock: socket.socket) -> Verdict | Established:
        """Log in over a connection to a real server; it is closed unless the session is made."""
        logged = self.service.is_logged
        heard = traffic if self.login.exchange is None else exchange_traffic
        channel = Channel(
            sock,
            self.session.channel.patience,
            timeout=self.options.authenticate_timeout,
            shown=heard(self.log, "REAL:  ") if logged else None,
            said=traffic(self.log, "SELF:  ") if logged else None,
        )
        outcome: Verdict | Established | None = None
        try:
            self.identity_form = self.options.outgoing_client_identity
            if self.server_item.options is not None:
                self.identity_form = self.server_item.options.client or self.identity_form
            if self.identity_form != "none":
                self.introduce(channel)
            outcome = self.speak_to(channel)
        finally:
            if not isinstance(outcome, Established):
                channel.close()
        return outcome

    def introduce(self, channel: Channel) -> None:
        """Say who the client is in a header, if that is how; the log has what stands for it."""
        if self.identity_form in introduction.NAMED:
            name = introduction.name(self.session)
            server = logs.escape(str(self.server_item))
            self.log.info(f'Session:{self.who()} id="{name}" server="{server}"')
        if header := introduction.header(self.session, self.identity_form):
            # Whoever speaks next notices where that fails.
            with contextlib.suppress(*TROUBLE):
                channel.send(header)

    def speak_to(self, channel: Channel) -> Verdict | Established:
        """Log in at the real server.

        Raises:
            Closed: it cannot be spoken with.
        """
        session, service = self.session, self.service
        wire = Wire()
        told = NOBODY
        if session.client.pairs or self.identity_form != "none":
            told = introduction.spoken(session, self.identity_form)
        server = service.dialogues.server(
            wire,
            self.terms,
            client=session.wire,
            tags=session.tags,
            introduction=told,
        )
        if self.server_secure == "ssl":
            self.start_tls(channel, implicit=True)
        stage = "Fatal error negotiating setup. Exiting child."
        try:
            verdict = self.negotiate(server, wire, channel)
            if verdict is None:
                stage = "Fatal error authenticating user. Exiting child."
                verdict = self.log_in(server, wire, channel)
        except TROUBLE as error:
            if channel.patience.gave_way:
                # Not the real server's fault.
                raise PeerGone from error
            self.log.error(stage)
            self.log.debug(f"real server {self.server_item}: {error!r}:{self.who()}")
            self.break_off()
            raise Closed from error
        is_judged = verdict.status in (protocols.OK, protocols.REFUSED)
        if is_judged and self.identity_form in ("id", "xclient") and not server.was_told:
            self.log.warning(
                f"real server {self.server_item}: it does not let us say who the client is"
            )
        if not verdict.accepted:
            if verdict.goodbye:
                self.leave(server, wire, channel)
            return verdict
        to_server, to_client = session.channel.rest(session.wire), channel.rest(wire)
        session.client.accept(verdict)
        who = self.who()
        line = self.log_auth(protocols.OK, who)
        guard = session.guard(to_server, who) if verdict.is_revocable else None
        # Before the client hears that it is logged in, for then it does not give way to others.
        channel.patience.leave()
        return Established(
            session.channel,
            channel,
            session.channel.take_unsent(session.wire),
            to_server,
            to_client,
            who,
            line,
            guard,
        )

    def log_in(self, server: ServerSide, wire: Wire, channel: Channel) -> Verdict:
        """Give name and password to the real server, or let the client's exchange go on there."""
        service = self.service
        login = service.finder.login_at_server(self.login, self.host)
        if self.password is not None:
            login = login._replace(password=self.password)
        if service.master_user is not None and (login.is_verified or service.authenticate):
            try:
                login = service.master_user.acting_for(login)
            except ValueError as error:
                self.log.warning(f"{error}:{self.who()}")
                return Verdict(False, protocols.REFUSED)
        if channel.secure == "ssl" and isinstance(server, managesieve.ServerSide):
            outcome = overheard.log_in(server, login, wire, channel)
        else:
            outcome = converse(server.log_in(login), wire, channel)
        if not isinstance(outcome, Challenge):
            return outcome
        if login.exchange is None:
            raise ProtocolError("it asks for more than name and password")
        mechanism = login.exchange.mechanism
        try:
            return exchange.go_between(self.session, server, wire, channel, outcome, mechanism)
        except TROUBLE:
            if mechanism not in sasl.OAUTH:
                raise
            # It has refused the token by asking (RFC 7628 section 3.2.3), however that ends.
            return Verdict(False, protocols.REFUSED)

    def negotiate(self, server: ServerSide, wire: Wire, channel: Channel) -> Verdict | None:
        """Greeting and TLS; a verdict where it ends with that."""
        while True:
            match converse(server.negotiate(), wire, channel):
                case Ready():
                    if self.terms.tls_outgoing and channel.secure == "plaintext":
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
        to, item = self.service.outgoing_tls, self.server_item
        assert to is not None  # noqa: S101 - only what looks up and does not log in has none
        name = item.options.name if item.options else ""
        try:
            channel.start_tls(to.to(item.options), name or item.host, implicit=implicit)
        except TlsFailed as error:
            if channel.patience.gave_way:
                raise PeerGone from error
            for line in error.log_lines:
                self.log.error(line)
            self.log.error("Fatal error establishing SSL connection")
            self.log.error(f"real server {self.server_item}: TLS: {error}:{self.who()}")
            self.break_off()
            raise Closed from error
        self.server_secure = channel.secure

    def leave(self, server: ServerSide, wire: Wire, channel: Channel) -> None:
        """Take leave of a real server that refused."""
        with channel.patience.limited(LEAVE_SECONDS), contextlib.suppress(*TROUBLE):
            converse(server.leave(), wire, channel)

    def break_off(self) -> None:
        """Log that the real server cannot be spoken with, and tell the client; 2.2 does not.

        What the real server said before belongs to the client in any case.
        """
        self.log_auth(protocols.NEGOTIATION_FAILED)
        if self.terms.compat:
            self.session.say_last()
        else:
            self.session.refuse(Verdict(False, protocols.NEGOTIATION_FAILED, delays=0))

    def host(self) -> str:
        """The name of the address that the client reached."""
        return self.service.host(self.session.ends.local)

    def who(self) -> Who:
        return Who(self.session.peers, self.login.authorisation, self.login.user)

    def log_auth(self, status: str, who: Who | None = None) -> str:
        """Log the line of this attempt, and return it."""
        line = logs.auth_line(
            who or self.who(),
            f"{self.server_item.host}:{self.server_item.port}",
            self.service.protocol,
            (self.session.channel.secure, self.server_secure),
            status,
            self.login.password if self.shows_password(status) else None,
        )
        self.log.notice(line)
        return line

    def shows_password(self, status: str) -> bool:
        """Whether `log_passwd` asks for the password of an attempt that went like that."""
        shown = {"always", "ok" if status == protocols.OK else "fail"}
        return bool(self.options.debug) and self.options.log_passwd in shown
