"""ldap: entries of a directory (reference: maps.md section 13)."""

import ldap

from perdition.maps import Answer, MapFailed, MapSettings, Query, check_item, read_value
from perdition.maps.deadlines import limited
from perdition.maps.ldap_connection import MOST_ENTRIES, Entry, Found, NotAName, Search
from perdition.maps.ldap_server import KeptServer
from perdition.maps.ldap_url import ANYTHING, read_option
from perdition.maps.servers import Servers
from perdition.net import ServerItem
from perdition.protocols import decode

# No entry is called so: and what is sent has to find room in the library.
LONGEST_KEY = 4096
SCOPES = {ldap.SCOPE_BASE: "base", ldap.SCOPE_ONELEVEL: "one", ldap.SCOPE_SUBTREE: "sub"}


class Ldap:
    """Looks for the one entry that the filter finds for a key."""

    by_key_alone = True

    def __init__(self, option: str, settings: MapSettings) -> None:
        """Use the directory that the option describes; its servers are asked at a look-up.

        Raises:
            MapFailed: the option is wrong.
        """
        self._directory = read_option(option)
        self._servers = Servers(
            [KeptServer(each, self._directory) for each in self._directory.servers], settings
        )
        self._seconds = settings.timeout
        self._delimiter = settings.delimiter
        self._tell = settings.tell
        self._told: set[str] = set()

    def lookup(self, query: Query, /) -> Answer | None:
        """What the entry of a key says, None where there is none.

        Raises:
            MapFailed: no server gives an answer, or the entry says nonsense.
        """
        for warning in self._directory.warnings:
            self._tell_once(warning, warning)
        if len(query.key) > LONGEST_KEY:
            return None
        base = self._directory.base.fill(query.key)
        wanted = self._directory.filter.fill(query.key)
        with limited(self._seconds):
            entries = self._search(base, wanted)
        if not entries:
            return None
        if len(entries) == MOST_ENTRIES:
            scope = SCOPES.get(self._directory.scope, "subordinates")
            self._tell_once(
                "multiple entries",
                f"multiple entries returned by filter: base: {base}; scope: {scope}; "
                f"filter: {wanted}",
            )
        return self._answer(entries[0])

    def _search(self, base: str, wanted: str) -> list[Entry]:
        """Entries that the filter finds below the base, with the key in both.

        Raises:
            MapFailed: no server gives an answer, or there is no base, whatever the key.
        """
        try:
            found = self._ask(base, wanted)
        except NotAName as error:
            if self._is_key_to_blame():
                return []
            raise MapFailed(f"ldap: {error}") from error
        if not (found.has_base or self._directory.base.has_place):
            # It is hidden from us, or the directory is empty: no user is to blame.
            raise MapFailed(f"ldap: there is no entry {base}")
        return found.entries

    def _is_key_to_blame(self) -> bool:
        """Whether the base would be a name with another key in it."""
        if not self._directory.base.has_place:
            return False
        try:
            self._ask(self._directory.base.fill(b"x"), ANYTHING)
        except NotAName:
            return False
        return True

    def _ask(self, base: str, wanted: str) -> Found:
        search = Search(base, self._directory.scope, wanted)
        return self._servers.ask(lambda server: server.search(search))

    def _answer(self, entry: Entry) -> Answer:
        """What an entry says; of each attribute the first value counts."""
        values = {name.lower(): each[0] for name, each in entry.attributes.items() if each}
        given = [values.get(name.lower()) for name in self._directory.attributes]
        user, server, port = (*given, None, None)[:3]
        try:
            if user is not None and server is None and port is None:
                return read_value(user, self._delimiter)
            name, number = decode(user or b""), decode(port or b"")
            found = read_value(server or b"", self._delimiter, number).destinations
            items = [each if each.user else each._replace(user=name) for each in found]
            items = items or [ServerItem(name, "", number)]
            for item in items:
                check_item(item, str(item))
        except MapFailed as error:
            raise MapFailed(f"ldap: {entry.name}: {error}") from error
        return Answer(items)

    def _tell_once(self, kind: str, text: str) -> None:
        if kind not in self._told:
            self._told.add(kind)
            self._tell(text)

    def close(self) -> None:
        for each in self._servers:
            each.close()
