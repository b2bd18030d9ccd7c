"""One server of an LDAP directory, with connections to it that are kept."""

import threading

from perdition.maps.ldap_connection import TROUBLE, Connection, Found, NotAName, Search, why
from perdition.maps.ldap_referrals import follow
from perdition.maps.ldap_url import Directory, Server
from perdition.maps.servers import ServerFailed


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

    def search(self, search: Search) -> Found:
        """Look for entries, here and where the server refers to.

        Raises:
            NotAName: what was to be the base is none.
            ServerFailed: there is no answer.
        """
        found = self._ask(search)
        if found.places and not found.entries:
            return Found(follow(found.places, search, self._directory), [])
        return found

    def _ask(self, search: Search) -> Found:
        """Look for entries here."""
        try:
            connection = self._take()
            if connection is not None:
                try:
                    return self._search(connection, search)
                except TimeoutError:
                    raise
                except TROUBLE:
                    # It may have ended while it was kept, and the others with it.
                    self._let_go()
            return self._search(Connection(self._server, self._directory), search)
        except TROUBLE as error:
            self._let_go()
            raise ServerFailed(why(error)) from error

    def _search(self, connection: Connection, search: Search) -> Found:
        """Search by a connection, and keep it for the next one if it is still of use."""
        try:
            found = connection.search(search)
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
