"""One server of an LDAP directory, with connections to it that are kept."""

import ssl
import threading

import ldap

from perdition.maps.deadlines import share
from perdition.maps.ldap_connection import Connection, Entry, NotAName
from perdition.maps.ldap_url import Directory, Server
from perdition.maps.servers import ServerFailed

# What can go wrong with it; UnicodeError: what it says is not LDAP.
TROUBLE = (OSError, ldap.LDAPError, UnicodeError)


class KeptServer:
    """A server and connections to it, of which the one used last is the next; its URL as a text.

    The lock guards the connections that nobody uses. Nobody holds it while the server is waited
    for.
    """

    def __init__(self, server: Server, directory: Directory) -> None:
        """Connect to nobody yet.

        Args:
            server: one of the directory's.
            directory: how it is spoken with.
        """
        self._server = server
        self._directory = directory
        self._lock = threading.Lock()
        self._idle: list[Connection] = []
        self._is_closed = False

    def __str__(self) -> str:
        return self._server.url

    def search(self, base: str, wanted: str) -> list[Entry] | None:
        """Look for entries.

        Args:
            base: the name of the entry to start at.
            wanted: the filter.

        Returns:
            As `Connection.search`.

        Raises:
            NotAName: `base` is none.
            ServerFailed: there is no answer.
        """
        try:
            connection = self._take()
            if connection is not None:
                try:
                    with share(2):
                        return self._search(connection, base, wanted)
                except TROUBLE:
                    # It may have ended while it was kept, and the others with it.
                    self._let_go()
            return self._search(Connection(self._server, self._directory), base, wanted)
        except TROUBLE as error:
            self._let_go()
            raise ServerFailed(why(error)) from error

    def _search(self, connection: Connection, base: str, wanted: str) -> list[Entry] | None:
        """Search by a connection, and keep it for the next one if it is still of use."""
        try:
            found = connection.search(base, wanted)
        except NotAName:
            self._keep(connection)
            raise
        except TROUBLE:
            connection.close()
            raise
        self._keep(connection)
        return found

    def _take(self) -> Connection | None:
        """A connection that nobody uses, if there is one."""
        with self._lock:
            return self._idle.pop() if self._idle else None

    def _keep(self, connection: Connection) -> None:
        """A connection has done its work, and may do more."""
        with self._lock:
            if not self._is_closed:
                self._idle.append(connection)
                return
        connection.close()

    def _let_go(self) -> None:
        """Close the connections that nobody uses."""
        with self._lock:
            idle, self._idle = self._idle, []
        for each in idle:
            each.close()

    def close(self) -> None:
        """Close the connections; those in use are closed when they have done their work."""
        self._is_closed = True
        self._let_go()


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
