"""Logging in at a real server that may overhear it.

Dovecot's managesieve-login (2.3.19) looks at its socket once more while it greets under TLS. What
has come by then lies there until more comes, and more than a log-in does not come.
"""

from perdition.protocols import Challenge, Login, Verdict
from perdition.protocols.managesieve import ServerSide
from perdition.protocols.wire import Wire
from perdition.session.channel import Channel, converse

# How long it is left alone after its greeting: as a rule it looks sooner.
REST_SECONDS = 0.03
# How long it may be silent before it is told something more.
SILENT_SECONDS = 1.0


class Nudging:
    """The channel to such a server: where it is silent for too long it is nudged, once."""

    def __init__(self, server: ServerSide, wire: Wire, channel: Channel) -> None:
        self._server = server
        self._wire = wire
        self._channel = channel
        self._is_nudged = False

    def flush(self, wire: Wire, delay: float = 0.0) -> None:
        """Send what the dialogue has said, as `Channel.flush` does."""
        self._channel.flush(wire, delay)

    def receive(self) -> bytes:
        """Wait for octets, as `Channel.receive` does."""
        if not self._is_nudged and self._channel.is_silent(SILENT_SECONDS):
            self._is_nudged = True
            self._server.nudge()
            self.flush(self._wire)
        return self._channel.receive()


def log_in(server: ServerSide, login: Login, wire: Wire, channel: Channel) -> Verdict | Challenge:
    """Give it name and password, or begin the client's exchange.

    Raises:
        PeerGone, PeerSilent, LineTooLong, ProtocolError: as `converse`.
    """
    channel.pause(REST_SECONDS)
    if login.exchange is not None:
        # What is said more would be taken for an answer in it.
        return converse(server.log_in(login), wire, channel)
    return converse(server.log_in(login), wire, Nudging(server, wire, channel))
