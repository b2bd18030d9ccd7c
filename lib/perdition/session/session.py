"""A client's connection until it is logged in: the steps of a log-in, one after the other.

It logs the lines of logging.md section 3, and is not known to keep a password after it.
"""

import contextlib

from perdition import logs
from perdition.identity import Ends
from perdition.logs import Who
from perdition.protocols import (
    ClientSide,
    Login,
    ProtocolError,
    Quit,
    TlsWanted,
    Verdict,
    imap4_server,
    proxy_header,
)
from perdition.protocols.client_identity import Told
from perdition.protocols.proxy_header import NOTHING_MORE
from perdition.protocols.wire import LineTooLong, Wire
from perdition.relay.guard import Forbidden, Guard
from perdition.session.attempt import Attempt
from perdition.session.channel import Channel, PeerGone, PeerSilent, converse
from perdition.session.service import Closed, Established, Service
from perdition.tls import CertificateRefused, TlsFailed

# How long a load balancer may take to say who its client is.
HEADER_SECONDS = 5
# How many proxies there may be on the way to the real server, as in Dovecot.
MOST_PROXIES = 5


class Session:
    """One client, from greeting to log-in.

    Attributes:
        ends, peers: between whom it is, and that as the log has it.
        more: what else a PROXY header has said of the client's connection.
        is_nobodys: a PROXY header has said that it is the load balancer's own.
        name: stands for it in what servers are told and log; empty until it is needed.
        ttl: how many proxies there may be from here to the real server, us included.
        broke_off: it ended in a way that the original counts as a failure.
    """

    def __init__(self, service: Service, channel: Channel, ends: Ends) -> None:
        self.service = service
        self.options = service.options
        self.log = service.log
        self.channel = channel
        self.meet(ends)
        self.more = NOTHING_MORE
        self.is_nobodys = False
        self.name = ""
        self.ttl = MOST_PROXIES
        self.wire = Wire()
        self.client: ClientSide = service.dialogues.client(self.wire, service.terms)
        self.tags = imap4_server.tags()
        self.failures = 0
        self.broke_off = False

    def meet(self, ends: Ends) -> None:
        """The client is at these ends, as the connection itself or somebody before us says."""
        self.ends = ends
        self.channel.patience.host = ends.client
        self.peers = ""
        if ends.client:
            self.peers = f"{ends.client}:{ends.client_port}->{ends.local}:{ends.local_port}"

    def meet_by(self, told: Told) -> None:
        """The client is the one that a proxy we trust names.

        Raises:
            Closed: we do not trust it.
        """
        if not self.client.is_trusted:
            self.log.notice(f"XCLIENT or ID of a proxy: {self.peers} is not in trusted_networks")
            raise Closed
        self.log.debug(f"XCLIENT or ID of a proxy: {self.peers}")
        said = (told.client, told.client_port, told.local, told.local_port)
        known = zip(said, self.ends, strict=True)
        self.meet(Ends(*(there if here is None else here for here, there in known)))  # type: ignore[arg-type]
        self.name = told.session or self.name
        self.count_hops(told.ttl)

    def count_hops(self, ttl: int | None) -> None:
        """So many proxies there may be from here on, as one before us says; it only goes down."""
        if ttl is not None:
            self.ttl = min(ttl, self.ttl)

    def take_header(self) -> bool:
        """Take the PROXY header, if the peer is one that says who its client is.

        Returns:
            Whether the session can go on. If not, the log has been told why.
        """
        if self.ends.client not in self.service.header_from:
            return True
        try:
            with self.channel.patience.limited(HEADER_SECONDS):
                header = converse(proxy_header.parse(self.wire), self.wire, self.channel)
        except ProtocolError as error:
            self.log.error(f"PROXY header: {self.peers}: {error}")
            return False
        except (PeerGone, PeerSilent):
            self.log.notice(f"PROXY header: {self.peers}: none came")
            return False
        # For a connection of its own haproxy's version 1 says who it is itself.
        own = self.ends[:2]
        self.is_nobodys = header.ends is None or header.ends[:2] == own
        if header.ends is not None:
            self.log.debug(f"PROXY header: {self.peers}")
            self.meet(header.ends)
        self.more = header.more
        self.count_hops(header.more.ttl)
        return True

    def run(self) -> Established | None:
        """Serve the client until it is logged in or gone.

        Returns:
            The session for the relay; None where there is none: whoever opened the connection
            closes it then.
        """
        self.broke_off = True
        try:
            self.greet()
            self.take_beginning()
            established = self.take_logins()
        except (PeerSilent, PeerGone, LineTooLong, ProtocolError) as error:
            self.lose(error)
        except Closed:
            pass
        else:
            self.broke_off = False
            return established
        return None

    def greet(self) -> None:
        """TLS from the first octet, where that is wanted, and the greeting."""
        if self.service.ssl_listen:
            self.start_tls("Fatal error establishing SSL connection to client", implicit=True)
        self.client.is_trusted = self.ends.client in self.service.trusted
        self.client.greet(self.service.banner(self.ends.local))
        try:
            self.channel.flush(self.wire)
        except (PeerGone, PeerSilent) as error:
            if self.is_nobodys:
                self.log_null()
            else:
                self.log.error(logs.client_deaf(self.peers))
            raise Closed from error

    def take_beginning(self) -> None:
        """Wait for the client's first octets, and refuse a PROXY header there.

        Raises:
            Closed: it is one: whoever may say it has done so before.
        """
        first = self.wire.take_unread() if self.service.header_from else b""
        first = first or self.channel.receive()
        if first[:1] not in proxy_header.FIRST:
            self.wire.feed(first)
            return
        while proxy_header.may_begin(first):
            first += self.channel.receive()
        if proxy_header.begins(first):
            self.log.notice(f"PROXY header: {self.peers} is not in proxy_protocol_from")
            raise Closed
        self.wire.feed(first)

    def take_logins(self) -> Established | None:
        """Take log-ins until one of them is good.

        Returns:
            None where the client took its leave.
        """
        delay = self.options.failure_delay
        while True:
            match converse(self.client.take_login(), self.wire, self.channel, delay):
                case Quit():
                    self.log_null()
                    return None
                case TlsWanted():
                    self.start_tls("Fatal error establishing TLS connection", implicit=False)
                    self.channel.flush(self.wire)
                case Told() as told:
                    self.meet_by(told)
                case Login() as login:
                    if login.authorisation is not None and not self.options.compat:
                        login = login.without_repetition()
                    established = Attempt(self, login).run()
                    if established is not None:
                        return established
                    self.failures += 1
                    if 0 < self.options.login_attempts <= self.failures:
                        self.client.farewell("Too many failed log-ins, mate", unasked=True)
                        self.say_last()
                        self.log.info(logs.too_many_failures(self.peers))
                        return None

    def guard(self, early: bytes, who: Who) -> Guard | None:
        """Who looks for UNAUTHENTICATE, which the real server has, unless it is let through.

        Args:
            early: what the client has said behind its log-in.
            who: whose session it is.

        Raises:
            Closed: it is there.
        """
        if self.options.unauthenticate:
            return None
        guard = Guard(self.service.protocol.removesuffix("S"))
        try:
            guard.look(early)
        except Forbidden as error:
            self.log.notice(logs.forbidden(who))
            self.farewell(f"{logs.UNAUTHENTICATE}, mate")
            self.log.info(logs.closing(who, 0, 0))
            raise Closed from error
        return guard

    def start_tls(self, failure: str, *, implicit: bool) -> None:
        """Start TLS with the client; failure is the line to log where that fails."""
        tls = self.service.listen_tls
        assert tls is not None  # noqa: S101 - the mode says so
        try:
            early = self.wire.take_unread()
            # What came in the clear must not count as if it came under TLS. What came with a PROXY
            # header is TLS, where that begins with the first octet.
            self.channel.start_tls(tls, implicit=implicit, early=early if implicit else b"")
        except TlsFailed as error:
            if self.is_nobodys:
                self.log_null()
            else:
                self.log.error(failure)
            told = self.log.notice if isinstance(error, CertificateRefused) else self.log.debug
            told(f"TLS with {self.peers}: {error}")
            raise Closed from error
        self.client.tls_started(self.channel.certified)

    def log_null(self) -> None:
        """Log that the client has taken its leave without a log-in."""
        self.log.info(logs.closing_null(Who(self.peers)))

    def lose(self, error: Exception) -> None:
        """Log that the client cannot be served any more, and why."""
        if self.channel.patience.gave_way:
            # It is not to be banned for that.
            self.log.notice(f"login_threads: {self.peers} gave way")
            return
        if isinstance(error, LineTooLong | ProtocolError):
            self.farewell("Line too long, mate")
        if self.is_nobodys:
            # It has seen that we serve. The lines below would have fail2ban ban the load balancer.
            self.log_null()
        elif isinstance(error, PeerSilent):
            self.log.error(logs.client_silent(self.peers))
        else:
            self.log.error(logs.client_gone(self.peers))

    def farewell(self, reason: str) -> None:
        """Tell the client why we close, if it still listens."""
        self.client.farewell(reason)
        self.say_last()

    def refuse(self, verdict: Verdict) -> None:
        """Tell the client of its log-in before we close, if it still listens."""
        self.client.refuse(verdict)
        self.say_last()

    def say_last(self) -> None:
        """Tell the client what has been said, if it still listens."""
        with contextlib.suppress(PeerGone, PeerSilent):
            self.channel.flush(self.wire)
