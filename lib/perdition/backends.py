"""Real servers: which one it is for a log-in, and connecting to it."""

import os
import random
import socket
from collections.abc import Sequence
from dataclasses import dataclass

from perdition import net
from perdition.net import ServerItem
from perdition.parameters import Parameters, Rule, matches
from perdition.patience import Patience


class SharedTurn:
    """A counter that all workers share: whose turn it is among the default servers.

    The offset of an open file is shared by all processes that inherit it, and ``lseek`` moves it
    in one step, without a lock that a dying process could hold for ever.
    """

    def __init__(self) -> None:
        self._descriptor = os.memfd_create("perdition-turn")
        os.lseek(self._descriptor, random.randrange(1 << 16), os.SEEK_SET)  # noqa: S311

    def take(self) -> int:
        """The next number."""
        return os.lseek(self._descriptor, 1, os.SEEK_CUR)

    def fileno(self) -> int:
        return self._descriptor


def over(first: Parameters | None, second: Parameters | None) -> Parameters | None:
    """What both say; the first counts where they differ."""
    return second if first is None else first.over(second)


@dataclass(frozen=True, slots=True)
class Backends:
    """The real servers that a log-in may go to.

    Attributes:
        default_servers: `outgoing_server`, taken apart, with their ports and without users.
        default_port: `outgoing_port`.
        turn: the counter behind the round robin.
        connect_timeout: seconds for each address, 0 for the kernel's limit.
        keepalive: `tcp_keepalive`.
        rules: `outgoing_destinations`, the first that matches counts.
    """

    default_servers: Sequence[ServerItem]
    default_port: str
    turn: SharedTurn
    connect_timeout: int
    keepalive: bool
    rules: Sequence[Rule] = ()

    def candidates(self, destinations: Sequence[ServerItem]) -> list[ServerItem]:
        """The servers to try, in order (reference: maps.md section 2, steps 6 and 7).

        Args:
            destinations: what the map or the client named; without any, or in the place of one
                without host, there are the default ones, in turn.
        """
        if not destinations:
            servers = self._in_turn()
            return self._by_rules(servers) if self.rules else servers
        found: list[ServerItem] = []
        for each in destinations:
            if each.host:
                found.append(each if each.port else each._replace(port=self.default_port))
            else:
                found += [
                    server._replace(user=each.user, options=over(each.options, server.options))
                    for server in self._in_turn()
                ]
        return self._by_rules(found) if self.rules else found

    def _by_rules(self, servers: list[ServerItem]) -> list[ServerItem]:
        """The same with what the rules say of them."""
        return [
            each._replace(options=over(each.options, self._said_of(each.host))) for each in servers
        ]

    def by_address(self, server: ServerItem, address: str) -> ServerItem:
        """The same with what the rules say of the address that its name has led to.

        Args:
            server: a candidate. What a pattern says of its name goes first.
            address: that address.
        """
        if self._said_of(server.host) is not None:
            return server
        return server._replace(options=over(server.options, self._said_of(address)))

    def _said_of(self, host: str) -> Parameters | None:
        for rule in self.rules:
            if matches(host, rule.pattern):
                return rule.parameters
        return None

    def _in_turn(self) -> list[ServerItem]:
        """The default servers, beginning with another one each time."""
        servers = list(self.default_servers)
        if len(servers) > 1:
            first = self.turn.take() % len(servers)
            servers = servers[first:] + servers[:first]
        return [server for server in servers if server.host]

    def nameless(self, destinations: Sequence[ServerItem]) -> ServerItem:
        """What the log has for a server where there is no candidate."""
        first = next(iter((*self.default_servers, *destinations)), None)
        if first is None:
            return self.unknown()
        return ServerItem("", "", first.port or self.default_port)

    def unknown(self) -> ServerItem:
        """What the log has for a server where none was looked for."""
        return ServerItem("", "(null)", self.default_port)

    def connect(self, server: ServerItem, patience: Patience) -> socket.socket:
        """Connect to a server, for a session of that patience.

        Raises:
            ConnectFailed: it cannot be reached.
        """
        return net.connect(server, self.connect_timeout, patience, keepalive=self.keepalive)
