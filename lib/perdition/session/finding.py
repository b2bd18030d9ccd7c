"""From a log-in to the real servers that it may go to: by the client's word, or by the map.

The reference is maps.md section 2, steps 1 to 5.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from perdition import identity, net, protocols
from perdition.identity import Ends, NameRules, State
from perdition.logs import Log, escape
from perdition.maps import Answer, Found, Map, MapFailed, Query, Refusal, check_item, read_value
from perdition.net import ServerItem
from perdition.parameters import matches
from perdition.protocols import Login


class NotAllowed(Exception):
    """The client has named a real server that it may not have; the text says which and why.

    Attributes:
        login: with the name that is left.
    """

    def __init__(self, reason: str, login: Login) -> None:
        super().__init__(reason)
        self.login = login


class Refused(Exception):
    """The map does not let the user in; the text says why."""


class Asked(NamedTuple):
    """A look-up that has been made.

    Attributes:
        key: what was asked.
        found: what came back.
        seconds: how long it took.
    """

    key: str
    found: Found | MapFailed
    seconds: float

    @property
    def outcome(self) -> str:
        """What came back, in a word."""
        match self.found:
            case None:
                return "not found"
            case MapFailed():
                return "out of order"
            case Refusal():
                return "refused"
            case _:
                return "found"


class Finding(NamedTuple):
    """What there is to say of a log-in.

    Attributes:
        login: with the name that is now known.
        destinations: to be tried in order; none, or one without host: the default servers.
        in_order: the map was.
        password: what the real server gets in the place of the client's; None for that.
    """

    login: Login
    destinations: Sequence[ServerItem]
    in_order: bool = True
    password: bytes | None = None


class Finder:
    """Finds the real servers for log-ins, by options and map; nothing in it changes."""

    __slots__ = ("_by_user", "_find", "_log", "_missed", "_options", "_protocol", "_rules")

    def __init__(
        self,
        options: Any,
        rules: NameRules,
        find: Map,
        log: Log,
        missed: Callable[[str], None] | None = None,
    ) -> None:
        """A finder.

        Args:
            options: the options in force.
            rules: what is done to user names.
            find: the map.
            log: told about trouble.
            missed: told of each key that the map does not have.
        """
        self._options = options
        self._missed = missed
        self._by_user: bool = options.route_by == "authentication"
        self._protocol: str = options.protocol
        self._rules = rules
        self._find = find
        self._log = log

    def find(
        self,
        login: Login,
        ends: Ends,
        host: Callable[[], str],
        *,
        secure: str,
        attempt: int = 1,
        told: Callable[[Asked], None] | None = None,
    ) -> Finding:
        """Find the real servers.

        Args:
            login: what the client gave.
            ends: its connection.
            host: gives the name of the address that it reached.
            secure: its link, as the log has it.
            attempt: which log-in of the connection it is.
            told: is told of each look-up.

        Raises:
            NotAllowed: the client has named a server that it may not have.
            Refused: the map does not let it in.
            MapFailed: the map is out of order, and that is not to be taken for "not found".
        """
        options, rules = self._options, self._rules
        by_client = options.client_server_specification
        typed = self._name(login)
        name = rules.name_for(State.SERVERNAME_LOOKUP, typed, host, strip=not by_client)
        if by_client and rules.delimiter in name:
            return self._named_by_client(
                self._renamed(login, rules.split(typed)[0]), rules.split(name)[1]
            )
        more = ends, self._protocol, login.user, login.password, attempt, secure
        try:
            for key in self._keys(name, ends) if options.query_key else (name,):
                answer = self._ask(Query(protocols.encode(key), *more), key, told)
                if answer is None:
                    if self._missed is not None:
                        self._missed(key)
                    continue
                return Finding(login, answer.destinations, password=answer.password)
        except MapFailed as error:
            if options.map_failure == "temporary":
                raise
            self._log.error(f"map: {escape(str(error))}: on to the default server")
            return Finding(login, (), in_order=False)
        return Finding(login, ())

    def close(self) -> None:
        """Let go of the map: nobody asks any more."""
        self._find.close()

    def login_for(self, login: Login, destination: ServerItem) -> Login:
        """The log-in with the name that the map has for it (`username_from_database`)."""
        if destination.user and self._options.username_from_database:
            return self._renamed(login, destination.user)
        return login

    def login_at_server(self, login: Login, host: Callable[[], str]) -> Login:
        """The log-in with the name that the real server gets.

        Args:
            login: as it is logged.
            host: gives the name of the address that the client reached.
        """
        return self._login_in(State.REMOTE_LOGIN, login, host)

    def login_locally(self, login: Login, host: Callable[[], str]) -> Login:
        """The log-in with the name that local authentication gets."""
        return self._login_in(State.LOCAL_AUTHENTICATION, login, host)

    def _login_in(self, state: State, login: Login, host: Callable[[], str]) -> Login:
        typed = self._name(login)
        name = self._rules.name_for(state, typed, host)
        return login if name == typed else self._renamed(login, name)

    def _name(self, login: Login) -> str:
        """The name that is looked up (`route_by`), and changed by the options."""
        if self._by_user or login.authorisation is None:
            return login.user
        return login.authorisation

    def _renamed(self, login: Login, name: str) -> Login:
        """The log-in with another name in the place of that one."""
        if self._by_user or login.authorisation is None:
            return login._replace(user=name)
        return login._replace(authorisation=name)

    def _named_by_client(self, login: Login, text: str) -> Finding:
        try:
            found = net.parse_item(text, self._rules.delimiter)
            # The resolver would end a host at a NUL, after its end has been looked at here.
            check_item(found, text)
        except (net.BadItem, MapFailed) as error:
            raise NotAllowed(escape(str(error)), login) from error
        patterns = self._options.client_server_allow
        if found.host and not allowed(found.host, patterns):
            reason = f"client_server_allow: {escape(found.host)} is not in it"
            raise NotAllowed(reason, login)
        if found.port and self._options.outgoing_master_user:
            # Anybody may listen on some port of a host, and would be told the master's password.
            raise NotAllowed("outgoing_master_user: a client may not name a port", login)
        return Finding(login, [found._replace(is_clients=True)])

    def _keys(self, name: str, ends: Ends) -> Iterator[str]:
        """What to look up, in order, where `query_key` says so."""
        for text in self._options.query_key:
            key = identity.key(text, name, self._rules, ends)
            self._log.debug(f'"{text}"->"{escape(key)}"')
            yield key

    def _ask(self, query: Query, key: str, told: Callable[[Asked], None] | None) -> Answer | None:
        """Look a key up.

        Returns:
            None where the map does not have it.
        """
        if told is None:
            found = self._find.lookup(query)
        else:
            start = time.monotonic()
            try:
                found = self._find.lookup(query)
            except MapFailed as error:
                told(Asked(key, error, time.monotonic() - start))
                raise
            told(Asked(key, found, time.monotonic() - start))
        if isinstance(found, Refusal):
            raise Refused(found.reason)
        return read_value(found, self._rules.delimiter) if isinstance(found, bytes) else found


def allowed(host: str, patterns: tuple[str, ...]) -> bool:
    """Whether a client may name that real server.

    Args:
        host: a name or an address.
        patterns: names, ".domain" for all names in it, addresses, networks; none: any host.
    """
    return not patterns or any(matches(host, pattern) for pattern in patterns)
