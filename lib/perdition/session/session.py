"""A client's connection until it is logged in: the steps of a log-in, one after the other.

It logs the lines of logging.md section 3, and is not known to keep a password after it.
"""

from perdition import logs
from perdition.identity import Ends
from perdition.logs import Who
from perdition.protocols import ClientSide, Login, ProtocolError, Quit, TlsWanted, imap4
from perdition.protocols.wire import LineTooLong, Wire
from perdition.session.attempt import Attempt
from perdition.session.channel import Channel, PeerGone, PeerSilent, converse
from perdition.session.service import Closed, Established, Service
from perdition.tls import CertificateRefused, TlsFailed


class Session:
    """One client, from greeting to log-in.

    Attributes:
        broke_off: it ended in a way that the original counts as a failure.
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
        self.client: ClientSide = service.dialogues.client(self.wire, service.terms)
        self.tags = imap4.tags()
        self.failures = 0
        self.broke_off = False

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
                    if not self.options.compat:
                        login = login.without_repetition()
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
        tls = self.service.listen_tls
        assert tls is not None  # noqa: S101 - the mode says so
        try:
            self.channel.start_tls(tls, implicit=implicit)
        except TlsFailed as error:
            self.log.error(failure)
            told = self.log.notice if isinstance(error, CertificateRefused) else self.log.debug
            told(f"TLS with {self.peers}: {error}")
            raise Closed from error
        self.client.tls_started(self.channel.certified)

    def lose(self, error: Exception) -> None:
        """Log that the client cannot be served any more, and why."""
        if isinstance(error, PeerSilent):
            self.log.error(logs.client_silent(self.peers))
            return
        if isinstance(error, LineTooLong | ProtocolError):
            self.farewell("Line too long, mate")
        self.log.error(logs.client_gone(self.peers))

    def farewell(self, reason: str) -> None:
        """Tell the client why we close, if it still listens."""
        self.client.farewell(reason)
        try:
            self.channel.flush(self.wire)
        except (PeerGone, PeerSilent):
            return
