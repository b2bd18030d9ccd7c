"""Local authentication of a log-in, before its real server is spoken to (`authenticate_in`)."""

from typing import TYPE_CHECKING

from perdition import logs, protocols
from perdition.net import ServerItem
from perdition.protocols import Login, Verdict
from perdition.session.service import NotKnown

if TYPE_CHECKING:
    from perdition.session.session import Session


def refusal(session: "Session", login: Login, item: ServerItem) -> Verdict | None:
    """Look at name and password (reference: process.md section 9).

    Args:
        session: the client's.
        login: what it gave.
        item: the first server, which may have another name for the user.

    Returns:
        A verdict where the log-in ends with that.
    """
    service, finder, patience = session.service, session.service.finder, session.channel.patience
    assert service.authenticate is not None  # noqa: S101 - else nobody asks
    if login.exchange is not None:
        return _failure(session, "there is no password to look at")
    if service.master_user is not None and login.authorisation not in (None, login.user):
        # The master user does it for the client itself.
        return _failure(session, "nobody here knows who may act for others")
    named = finder.login_locally(
        finder.login_for(login, item), lambda: service.host(session.ends.local)
    )
    try:
        reason = service.authenticate(named, session.ends.client, patience)
    except NotKnown as error:
        session.log.error(f"local authentication: {logs.escape(str(error))}")
        return Verdict(False, protocols.LOCAL_TROUBLE, is_temporary=True)
    finally:
        patience.end()
    return _failure(session, reason) if reason else None


def _failure(session: "Session", reason: str) -> Verdict:
    """The log-in is not good."""
    session.log.debug(f"local authentication: {logs.escape(reason)}")
    session.log.info("Local authentication failure for client: Allowing retry.")
    return Verdict(False, protocols.LOCAL_FAILURE)
