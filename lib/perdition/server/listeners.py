"""The sockets to listen on."""

import ipaddress
import socket
from collections.abc import Sequence

from perdition import net
from perdition.identity import Ends
from perdition.net import BadItem, ConnectFailed, ServerItem

ANY = ServerItem("", "0.0.0.0", "")  # noqa: S104 - the original's default
# All addresses of both families.
BOTH = ("*", "::")


class BindFailed(Exception):
    """An address cannot be listened on; the text says which and why."""


def parse_items(texts: Sequence[str]) -> list[ServerItem]:
    """Take `bind_address` apart.

    Raises:
        BindFailed: a port stands there by itself, or an address may have one at its end or not.
    """
    items = []
    for text in texts:
        try:
            item = net.parse_item(text, net.DELIMITER)
            net.check_port(item)
        except BadItem as error:
            raise BindFailed(f"bind_address {error}") from error
        if item.host.isdecimal():
            raise BindFailed(
                f"bind_address {text}: not an address; a port by itself is for listen_port"
            )
        items.append(item._replace(host=without_mapping(item.host)))
    return items


def without_mapping(host: str) -> str:
    """The IPv4 address that an IPv6 address means, if it does; the kernel binds it by that only."""
    try:
        address = ipaddress.IPv6Address(host)
    except ValueError:
        return host
    return str(address.ipv4_mapped or host)


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
    given = {item._replace(user="", port=item.port or port) for item in items}
    try:
        for item in items or [ANY]:
            host, number = item.host, item.port or port
            if host in BOTH and ANY._replace(port=number) not in given:
                sockets.append(listen_on_both(number, keepalive=keepalive))
            else:
                host = "::" if host in BOTH else host
                sockets.append(listen_on(host, number, keepalive=keepalive))
    except BindFailed:
        for sock in sockets:
            sock.close()
        raise
    return sockets


def listen_on_both(port: str, *, keepalive: bool) -> socket.socket:
    """Listen on all addresses of IPv6 and IPv4 with one socket; without IPv6 on those of IPv4."""
    try:
        return listen_on("::", port, keepalive=keepalive, only_ipv6=False)
    except BindFailed:
        return listen_on(ANY.host, port, keepalive=keepalive)


def listen_on(host: str, port: str, *, keepalive: bool, only_ipv6: bool = True) -> socket.socket:
    """Listen on the first address of host that can be bound.

    Sockets that are accepted have TCP_NODELAY and SO_KEEPALIVE from it.
    """
    reason = "no address"
    try:
        found = net.resolve(host, port) if host else []
    except ConnectFailed as error:
        raise BindFailed(f"bind_address {error}") from error
    for family, address in found:
        try:
            sock = socket.socket(family, socket.SOCK_STREAM)
        except OSError as error:
            # A family that the kernel does not have.
            reason = error.strerror or str(error)
            continue
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, only_ipv6)
            prepare(sock, keepalive=keepalive)
            sock.bind(address)
            sock.listen(socket.SOMAXCONN)
        except OSError as error:
            sock.close()
            reason = error.strerror or str(error)
            continue
        return sock
    raise BindFailed(f"bind_address {host}:{port}: {reason}")


def prepare(sock: socket.socket, *, keepalive: bool) -> None:
    """Set what accepted sockets have from the one that listens."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if keepalive:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)


def ends_of(client: Sequence[object], local: Sequence[object]) -> Ends:
    """The ends of a connection; IPv4 addresses mapped into IPv6 are shown as what they are."""
    there, here = str(client[0]), str(local[0])
    return Ends(
        there.removeprefix("::ffff:"),
        client[1],  # type: ignore[arg-type]
        here.removeprefix("::ffff:"),
        local[1],  # type: ignore[arg-type]
    )
