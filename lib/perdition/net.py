"""Addresses and sockets."""

import contextlib
import functools
import ipaddress
import math
import socket
import time
from collections.abc import Container, Iterable, Sequence
from typing import NamedTuple

from perdition import parameters
from perdition.parameters import MOST_PORT, Parameters
from perdition.patience import Patience
from perdition.threads import IsOver, Threads, TookTooLong

# Between user and host in options; it takes the place of the domain_delimiter when they are read.
# The user means nothing there.
DELIMITER = "@"
# What a process asks the resolver at the same time, at most. What clients name has threads of its
# own: names of a domain whose servers are silent keep nobody else waiting.
MOST_ASKED, MOST_ASKED_BY_CLIENTS = 64, 16
_resolvers = Threads(MOST_ASKED, "resolver")
_clients_resolvers = Threads(MOST_ASKED_BY_CLIENTS, "resolver")


class ConnectFailed(Exception):
    """No address of a host could be reached."""


class NameUnknown(Exception):
    """The resolver does not say what the name of an address is."""


class BadItem(ValueError):
    """A text that names no server; the text of this says why, or how to write it."""


class ServerItem(NamedTuple):
    """``[user@]host[:port]`` taken apart; an empty part is one that was not given.

    Attributes:
        options: what is said of that destination beside.
        is_clients: a client has named it.
    """

    user: str
    host: str
    port: str
    options: Parameters | None = None
    is_clients: bool = False

    def __str__(self) -> str:
        return (
            f"{self.user}{'@' if self.user else ''}{self.host}{':' if self.port else ''}{self.port}"
        )


def parse_item(text: str, delimiter: str, default_port: str = "") -> ServerItem:
    """Take ``[user<delimiter>]host[:port]`` apart (reference: options.md section 8, maps.md 3).

    Args:
        text: the item; an IPv6 address stands in brackets, or by itself without a port.
        delimiter: what stands between user and host.
        default_port: of an item without one.

    Raises:
        BadItem: an IPv6 address without brackets, whose end may be a port.
    """
    user, found, rest = text.rpartition(delimiter)
    if not found:
        user, rest = "", text
    if rest.startswith("[") and "]" in rest:
        host, _, after = rest[1:].rpartition("]")
        return ServerItem(user, host, after.removeprefix(":") or default_port)
    host, _, port = rest.rpartition(":") if ":" in rest else (rest, "", "")
    if rest.count(":") > 1 and is_address(rest):
        if port.isdecimal() and is_address(host):
            raise BadItem(f"{rest}: write [{host}]:{port} or [{rest}]")
        return ServerItem(user, rest, default_port)
    return ServerItem(user, host, port or default_port)


def with_at(text: str, delimiter: str) -> str:
    """Put @ between user and host of an item in which another delimiter stands there.

    As in 2.2 the last one counts, of what is before the port; an address is left as it is.
    """
    place, _ = parameters.split(text)
    end = "[" if "]" in place else ":"
    name = place.rpartition(end)[0] if end in place else place
    user, found, host = name.rpartition(delimiter)
    if not found or not (host or end == "[") or is_address(name) or is_address(place):
        return text
    return f"{user}{DELIMITER}{host}{text[len(name) :]}"


def parse_destination(text: str, delimiter: str, default_port: str = "") -> ServerItem:
    """Take ``[user<delimiter>]host[:port][;key=value...]`` apart.

    Raises:
        BadItem: as above.
        BadParameters: they cannot be what stands after the first semicolon.
    """
    place, rest = parameters.split(text)
    item = parse_item(place.rstrip(" ") if rest else place, delimiter, default_port)
    return item._replace(options=parameters.parse(rest)) if rest else item


def check_port(item: ServerItem) -> None:
    """Check the port of an item of the operator's; what maps and clients say is looked at anyway.

    Raises:
        BadItem: it is none.
    """
    if not may_be_port(item.port):
        raise BadItem(f"not a port: {item}: it is a number up to {MOST_PORT}, or a name")


def may_be_port(text: str) -> bool:
    """Whether a text is the number of a port, or can be the name of one."""
    digits = text.lstrip("0") or "0"
    is_short = len(digits) <= len(str(MOST_PORT))
    return not text.isdecimal() or (is_short and int(digits) <= MOST_PORT)


@functools.lru_cache(maxsize=1024)
def is_address(host: str) -> bool:
    """Whether host is an address in numbers."""
    for family in (socket.AF_INET, socket.AF_INET6):
        with contextlib.suppress(OSError, ValueError):
            socket.inet_pton(family, host.partition("%")[0])
            return True
    return False


def networks(texts: Sequence[str]) -> Container[str]:
    """The addresses that are in these networks, ``()`` where there are none.

    Raises:
        ValueError: a text is neither an address nor a network such as 192.0.2.0/24.
    """
    return Networks(texts) if texts else ()


class Networks:
    """Networks, and whether an address is in one of them; nothing in it changes."""

    __slots__ = ("_networks", "_seen")

    def __init__(self, texts: Iterable[str]) -> None:
        """Addresses, and networks such as 192.0.2.0/24.

        Raises:
            ValueError: a text is neither.
        """
        self._networks = [ipaddress.ip_network(each, strict=False) for each in texts]
        self._seen = functools.lru_cache(maxsize=1024)(self._has)

    def __contains__(self, address: object) -> bool:
        return self._seen(str(address))

    def _has(self, text: str) -> bool:
        try:
            address = ipaddress.ip_address(text.partition("%")[0])
        except ValueError:
            return False
        return any(address in each for each in self._networks)


def keep_resolver() -> None:
    """Have a thread that can ask the resolver, before others have taken all that there are."""
    _resolvers.keep_one()


def resolve(
    host: str,
    port: str,
    seconds: float | None = None,
    is_over: IsOver | None = None,
    *,
    is_clients: bool = False,
) -> Sequence[tuple[int, tuple[object, ...]]]:
    """Families and socket addresses of host and port, in the resolver's order.

    Args:
        host: a name or an address.
        port: a number or the name of a service.
        seconds: how long the resolver may take; None for its own limits.
        is_over: whether nobody wants to know it any more.
        is_clients: a client has named the host.

    Raises:
        ConnectFailed: host or port is not known, or not in time.
    """
    if is_address(host):
        return numeric(host, port)
    if seconds is None:
        return asked(host, port)
    resolvers = _clients_resolvers if is_clients else _resolvers
    try:
        return resolvers.call(lambda: asked(host, port), seconds, is_over)
    except TookTooLong as error:
        raise ConnectFailed(f"{host}:{port}: the resolver: {error}") from error


def asked(host: str, port: str) -> Sequence[tuple[int, tuple[object, ...]]]:
    """What the resolver says."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or error
        if isinstance(error, socket.gaierror) and error.errno == socket.EAI_SERVICE:
            why = "there is no port of that name: /etc/services has them"
        raise ConnectFailed(f"{host}:{port}: {why}") from error
    return [(family, address) for family, _type, _proto, _name, address in found]


# What needs no resolver does not change. Names of ports are in a file of this machine.
numeric = functools.lru_cache(maxsize=1024)(asked)


def connect(
    server: ServerItem, seconds: float, patience: Patience, *, keepalive: bool
) -> socket.socket:
    """Connect to the first address of a server that answers.

    Args:
        server: its host is a name or an address, its port a number or the name of a service.
        seconds: for each address, and for the resolver; 0 for their own limits.
        patience: ends a wait that is too long.
        keepalive: set SO_KEEPALIVE.

    Raises:
        ConnectFailed: none answered; the text has the last reason.
    """
    reason = "no address"
    host, port = server.host, server.port
    for family, address in (
        numeric(host, port) if is_address(host) else _ask_for(server, seconds, patience)
    ):
        try:
            sock = socket.socket(family, socket.SOCK_STREAM)
        except OSError as error:
            # Out of descriptors, or a family that the kernel does not have.
            reason = error.strerror or str(error)
            continue
        is_over = not patience.begin(sock.fileno(), seconds)
        try:
            if is_over:
                raise TimeoutError("timed out")
            sock.connect(address)
        except OSError as error:
            patience.forget(sock.fileno())
            sock.close()
            reason = "timed out" if patience.take_expired() else error.strerror or str(error)
            continue
        patience.end()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if keepalive:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        return sock
    raise ConnectFailed(f"{host}:{port}: {reason}")


def _ask_for(
    server: ServerItem, seconds: float, patience: Patience
) -> Sequence[tuple[int, tuple[object, ...]]]:
    """What the resolver says, as long as the session may wait for it."""
    left = min(seconds or math.inf, max(patience.deadline - time.monotonic(), 0))
    limit = None if left == math.inf else left
    return resolve(
        *(server.host, server.port, limit, lambda: patience.gave_way),
        is_clients=server.is_clients,
    )


def peer_host(sock: socket.socket) -> str:
    """The address that a connection goes to; empty where it has been broken already."""
    try:
        return str(sock.getpeername()[0])
    except OSError:
        return ""


def host_name(address: str, seconds: float) -> str:
    """The name of an address of ours; the address itself where it has none.

    Args:
        address: without a port.
        seconds: how long the resolver may take.

    Raises:
        NameUnknown: it does not say, or not in time.
    """
    try:
        return _resolvers.call(lambda: socket.getnameinfo((address, 0), 0)[0], seconds)
    except (OSError, TookTooLong) as error:
        raise NameUnknown(f"the resolver does not name {address}: {error}") from error
