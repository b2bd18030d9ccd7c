"""A SASL exchange of which the octets are the client's and the real server's, and not ours."""

from typing import TYPE_CHECKING

from perdition import protocols
from perdition.protocols import Challenge, ProtocolError, ServerSide, Verdict, sasl
from perdition.protocols.wire import LineTooLong, Wire
from perdition.session.channel import Channel, PeerGone, PeerSilent, converse
from perdition.session.service import Closed

if TYPE_CHECKING:
    from perdition.session.session import Session

# Challenges of one exchange; SCRAM has two.
MOST_CHALLENGES = 16
# What becomes of a dialogue with a peer that does not do its part.
TROUBLE = (PeerGone, PeerSilent, LineTooLong, ProtocolError)


def go_between(
    session: "Session",
    server: ServerSide,
    wire: Wire,
    channel: Channel,
    challenge: Challenge,
    mechanism: str,
) -> Verdict:
    """Hand on what client and real server say to each other, until the latter has decided.

    Args:
        session: the client's.
        server: the dialogue with the real server.
        wire: its octets.
        channel: the connection to it.
        challenge: what it has asked first.
        mechanism: the name of the client's.

    Raises:
        Closed: the client is gone, or has nothing to say.
        ProtocolError: the real server asks without end.
    """
    is_cancelled = False
    for _ in range(MOST_CHALLENGES):
        # A real server that goes on to ask is told again.
        response = None if is_cancelled else _ask_client(session, challenge)
        is_cancelled = response is None
        outcome = converse(server.respond(response), wire, channel)
        if isinstance(outcome, Challenge):
            challenge = outcome
        elif is_cancelled:
            # Whatever the real server makes of that. A challenge of OAuth says that it has refused
            # the token (RFC 7628 section 3.2.3): whoever guesses must not be able to hide that.
            logged = protocols.REFUSED if mechanism in sasl.OAUTH else ""
            cancelled = protocols.CANCELLED
            return outcome._replace(accepted=False, status=cancelled, code=b"", logged=logged)
        else:
            return outcome
    raise ProtocolError("no end of an exchange")


def _ask_client(session: "Session", challenge: Challenge) -> bytes | None:
    """The client's answer to a challenge, None where it breaks the exchange off."""
    try:
        return converse(session.client.challenge(challenge.octets), session.wire, session.channel)
    except sasl.BadResponse:
        return None
    except TROUBLE as error:
        session.lose(error)
        raise Closed from error
