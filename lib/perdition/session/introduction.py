"""What a real server is told of the client: in a PROXY header, or after its greeting."""

import secrets
import ssl
from typing import TYPE_CHECKING

from perdition.protocols import decode, encode
from perdition.protocols.client_identity import SESSION_NAME, Introduction, Told
from perdition.protocols.proxy_header import More, TlsSeen, build_v1, build_v2

if TYPE_CHECKING:
    from perdition.session.session import Session

NAME_OCTETS = 12
# The forms in which the name of the session is said.
NAMED = ("proxy_v2", "id", "xclient")


def header(session: "Session", how: str) -> bytes:
    """The PROXY header for a real server, nothing where that is not how it is told."""
    if how == "proxy_v1":
        return build_v1(session.ends)
    if how == "proxy_v2":
        return build_v2(session.ends, more(session))
    return b""


def spoken(session: "Session", how: str) -> Introduction:
    """What is said after the greeting: ID and XCLIENT are the same wish."""
    told = None
    if how in ("id", "xclient") and session.ends.client:
        client, client_port, local, local_port = session.ends
        # Without the scope of an address, which means nothing on another machine.
        told = Told(
            *(client.partition("%")[0], client_port, local.partition("%")[0], local_port),
            session=name(session),
            ttl=session.ttl - 1,
        )
    return Introduction(told, session.client.pairs)


def more(session: "Session") -> More:
    """What there is to say beside the addresses: of our own link, or of the one before us."""
    told, stream = session.more, session.channel.stream
    tls, authority, alpn = told.tls, told.authority, told.alpn
    if stream is not None:
        tls = seen(stream.tls)
        authority = stream.server_name or authority
        alpn = encode(stream.tls.selected_alpn_protocol() or "")
    return More(tls, authority, alpn, told.unique_id or encode(name(session)), session.ttl - 1)


def name(session: "Session") -> str:
    """What stands for the session: what the proxy before us has said, or a new one."""
    if not session.name:
        told = decode(session.more.unique_id)
        session.name = told if SESSION_NAME.fullmatch(told) else secrets.token_urlsafe(NAME_OCTETS)
    return session.name


def seen(tls: ssl.SSLObject) -> TlsSeen:
    """What there is to say of TLS with a client."""
    cipher = tls.cipher()
    # Without a certificate that has been verified there are no names.
    subject = (tls.getpeercert() or {}).get("subject", ())
    names = dict(pair for part in subject for pair in part)  # type: ignore[misc]
    return TlsSeen(
        tls.version() or "",
        cipher[0] if cipher else "",
        names.get("commonName", ""),
        verified=bool(subject),
    )
