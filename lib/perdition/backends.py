"""Real servers: which one it is for a log-in, and connecting to it."""

import os
import random
import socket
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass

from perdition import net
from perdition.net import ServerItem
from perdition.patience import Patience


class SharedTurn:
    """A counter that all workers share: whose turn it is among the default servers.

    The offset of an open file is shared by all processes that inherit it, and ``lseek`` moves it
    in one step, without a lock that a dying process could hold for ever.
    """

    def __init__(self) -> None:
        with tempfile.TemporaryFile() as file:
            self._descriptor = os.dup(file.fileno())
        os.lseek(self._descriptor, random.randrange(1 << 16), os.SEEK_SET)  # noqa: S311

    def take(self) -> int:
        """The next number."""
        return os.lseek(self._descriptor, 1, os.SEEK_CUR)

    def fileno(self) -> int:
        return self._descriptor


@dataclass(frozen=True, slots=True)
class Backends:
    """The real servers that a log-in may go to.

    Attributes:
        default_servers: `outgoing_server`, taken apart, with their ports.
        default_port: `outgoing_port`.
        turn: the counter behind the round robin.
        connect_timeout: seconds for each address, 0 for the kernel's limit.
        keepalive: `tcp_keepalive`.
    """

    default_servers: Sequence[ServerItem]
    default_port: str
    turn: SharedTurn
    connect_timeout: int
    keepalive: bool

    def candidates(self, found: ServerItem | None) -> list[ServerItem]:
        """The servers to try, in order (reference: maps.md section 2, steps 6 and 7).

        Args:
            found: what the map or the client named; None or without host for the default.
        """
        if found is not None and found.host:
            return [found if found.port else found._replace(port=self.default_port)]
        if not self.default_servers:
            return []
        servers = self.default_servers
        if len(servers) > 1:
            first = self.turn.take() % len(servers)
            servers = [*servers[first:], *servers[:first]]
        return [server for server in servers if server.host]

    def nameless(self, found: ServerItem | None) -> ServerItem:
        """What the log has for a server where there is no candidate."""
        for server in (*self.default_servers, *([found] if found else ())):
            return ServerItem("", "", server.port or self.default_port)
        return ServerItem("", "(null)", self.default_port)

    def connect(self, server: ServerItem, patience: Patience) -> socket.socket:
        """Connect to a server, for a session of that patience.

        Raises:
            ConnectFailed: it cannot be reached.
        """
        return net.connect(
            *(server.host, server.port, self.connect_timeout, patience), keepalive=self.keepalive
        )
