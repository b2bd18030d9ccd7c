"""The sockets to listen on."""

import socket
from collections.abc import Sequence

from perdition import net
from perdition.identity import Ends
from perdition.net import Ambiguous, ConnectFailed, ServerItem

ANY = ServerItem("", "0.0.0.0", "")  # noqa: S104 - the original's default


class BindFailed(Exception):
    """An address cannot be listened on; the text says which and why."""


def parse_items(texts: Sequence[str], delimiter: str) -> list[ServerItem]:
    """Take `bind_address` apart.

    Raises:
        BindFailed: a port stands there by itself, or an address may have one at its end or not.
    """
    items = []
    for text in texts:
        try:
            item = net.parse_item(text, delimiter)
        except Ambiguous as error:
            raise BindFailed(f"bind_address {error}") from error
        if item.host.isdecimal():
            raise BindFailed(
                f"bind_address {text}: not an address; a port by itself is for listen_port"
            )
        items.append(item)
    return items


def listen(items: Sequence[ServerItem], port: str, *, keepalive: bool) -> list[socket.socket]:
    """Listen on every address.

    Args:
        items: `bind_address`; none for every IPv4 address.
        port: `listen_port`, for items without a port.
        keepalive: `tcp_keepalive`; accepted sockets have it from these.

    Raises:
        BindFailed: one of them cannot be; none is listened on then.
    """
    sockets: list[socket.socket] = []
    try:
        for item in items or [ANY]:
            sockets.append(listen_on(item.host, item.port or port, keepalive=keepalive))
    except BindFailed:
        for sock in sockets:
            sock.close()
        raise
    return sockets


def listen_on(host: str, port: str, *, keepalive: bool) -> socket.socket:
    """Listen on the first address of host that can be bound.

    Sockets that are accepted have TCP_NODELAY and SO_KEEPALIVE from it.
    """
    reason = "no address"
    try:
        found = net.resolve(host, port) if host else []
    except ConnectFailed as error:
        raise BindFailed(f"bind_address {error}") from error
    for family, address in found:
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if keepalive:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            sock.bind(address)
            sock.listen(socket.SOMAXCONN)
        except OSError as error:
            sock.close()
            reason = error.strerror or str(error)
            continue
        return sock
    raise BindFailed(f"bind_address {host}:{port}: {reason}")


def ends_of(client: Sequence[object], local: Sequence[object]) -> Ends:
    """The ends of a connection; IPv4 addresses mapped into IPv6 are shown as what they are."""
    there, here = str(client[0]), str(local[0])
    return Ends(
        there.removeprefix("::ffff:"),
        client[1],  # type: ignore[arg-type]
        here.removeprefix("::ffff:"),
        local[1],  # type: ignore[arg-type]
    )
