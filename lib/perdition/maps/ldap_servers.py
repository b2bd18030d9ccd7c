"""The servers of an LDAP directory: connections that are kept, and servers that are down."""

import math
import ssl
import threading
import time

import ldap

from perdition.maps import MapFailed, MapSettings
from perdition.maps.ldap_connection import Connection, Entry, share
from perdition.maps.ldap_url import Directory, Server
from perdition.net import ConnectFailed

# How long a server that was down is asked after the others.
DOWN_SECONDS = 30.0
# What can go wrong with one; UnicodeError: what it says is not LDAP.
TROUBLE = (OSError, ConnectFailed, ldap.LDAPError, UnicodeError)
# What it says of the name that was asked for.
OF_THE_NAME = (ldap.NO_SUCH_OBJECT, ldap.INVALID_DN_SYNTAX)


class Failed(Exception):
    """An attempt with one server has failed; the text says which and why."""

    def __init__(self, server: Server, error: Exception) -> None:
        super().__init__(f"{server.url}: {why(error)}")
        self.server = server


class Servers:
    """Connections to servers of equal content, of which the first that works is used.

    The lock guards the connections that nobody uses now, and when which server was down. Nobody
    holds it while a server is waited for.
    """

    def __init__(self, directory: Directory, settings: MapSettings) -> None:
        """Connect to nobody yet.

        Args:
            directory: has them.
            settings: how long a search may take, and how many connections there may be.
        """
        self._directory = directory
        self._most = settings.connections
        self._free = threading.BoundedSemaphore(settings.connections)
        self._lock = threading.Lock()
        self._idle: list[Connection] = []
        self._down: dict[Server, float] = {}
        self._is_closed = False

    def search(self, base: str, wanted: str, until: float) -> list[Entry]:
        """Look for entries.

        Args:
            base: the name of the entry to start at.
            wanted: the filter.
            until: the moment when the answer has to be there.

        Raises:
            ldap.NO_SUCH_OBJECT, ldap.INVALID_DN_SYNTAX: so says a server of the name.
            MapFailed: no server gives an answer.
        """
        limit = None if until == math.inf else max(until - time.monotonic(), 0)
        if not self._free.acquire(timeout=limit):
            names = " ".join(each.url for each in self._directory.servers)
            raise MapFailed(f"{names}: all {self._most} connections are in use")
        try:
            return self._search(base, wanted, until)
        finally:
            self._free.release()

    def _search(self, base: str, wanted: str, until: float) -> list[Entry]:
        servers = self._in_order()
        # A connection that was kept may have ended meanwhile: the search is made again then.
        attempts: list[Connection | Server] = [*self._take(servers[0]), *servers]
        reasons = []
        for number, attempt in enumerate(attempts):
            moment = share(until, len(attempts) - number)
            is_new = isinstance(attempt, Server)
            try:
                return self._attempt(attempt, base, wanted, moment)
            except Failed as error:
                self._drop(error.server, is_down=is_new)
                if is_new:
                    reasons.append(str(error))
        raise MapFailed("; ".join(reasons))

    def _attempt(
        self, attempt: Connection | Server, base: str, wanted: str, until: float
    ) -> list[Entry]:
        """Search by a connection that was kept, or by a new one to a server.

        Raises:
            Failed: that gave no answer.
        """
        if isinstance(attempt, Server):
            try:
                connection = Connection(attempt, self._directory, until)
            except TROUBLE as error:
                raise Failed(attempt, error) from error
        else:
            connection = attempt
        try:
            found = connection.search(base, wanted, until)
        except OF_THE_NAME:
            self._keep(connection)
            raise
        except TROUBLE as error:
            connection.close()
            raise Failed(connection.server, error) from error
        self._keep(connection)
        return found

    def _in_order(self) -> list[Server]:
        """The servers: those that were down a short time ago come last."""
        now = time.monotonic()
        with self._lock:
            down = {server for server, since in self._down.items() if now - since < DOWN_SECONDS}
        return sorted(self._directory.servers, key=down.__contains__)

    def _take(self, wanted: Server) -> list[Connection]:
        """A connection that nobody uses, if there is one; others than to that server are closed."""
        with self._lock:
            others = [each for each in self._idle if each.server != wanted]
            self._idle = [each for each in self._idle if each.server == wanted]
            taken = [self._idle.pop()] if self._idle else []
        for each in others:
            each.close()
        return taken

    def _keep(self, connection: Connection) -> None:
        """A connection has done its work, and may do more."""
        with self._lock:
            self._down.pop(connection.server, None)
            if not self._is_closed:
                self._idle.append(connection)
                return
        connection.close()

    def _drop(self, server: Server, *, is_down: bool) -> None:
        """A connection to that server has failed: others to it that nobody uses may have, too."""
        with self._lock:
            dropped = [each for each in self._idle if each.server == server]
            self._idle = [each for each in self._idle if each.server != server]
            if is_down:
                self._down[server] = time.monotonic()
        for each in dropped:
            each.close()

    def close(self) -> None:
        """Close the connections; those in use are closed when they have done their work."""
        with self._lock:
            self._is_closed = True
            idle, self._idle = self._idle, []
        for each in idle:
            each.close()


def why(error: Exception) -> str:
    """What has gone wrong, in one line."""
    match error:
        case ldap.LDAPError():
            told = error.args[0] if error.args and isinstance(error.args[0], dict) else {}
            parts = [told.get("desc") or type(error).__name__, told.get("info") or ""]
            text = ": ".join(filter(None, parts))
        case TimeoutError():
            text = "no answer in time"
        case ssl.SSLCertVerificationError():
            text = f"its certificate: {error.verify_message}"
        case _:
            text = getattr(error, "strerror", "") or str(error)
    return " ".join(text.split())
