"""What all maps in SQL databases do: ask one after the other, and read the value."""

import abc
import re
from collections.abc import Sequence
from typing import ClassVar

from perdition.logs import UNSEEN
from perdition.maps import Found, MapFailed, MapSettings, Query, may_come_from_key, read_value
from perdition.maps.database import Database
from perdition.maps.servers import Servers
from perdition.maps.sql_options import Access, read_access

# PostgreSQL has no text with NUL in it. Orders of MySQL and MariaDB pass over control characters,
# and over those that nobody sees: they would find somebody else's row.
PASSED_OVER = re.compile(f"[\x00-\x1f\x7f-\x9f{UNSEEN}]")


class SqlMap:
    """A table in one of several databases, which are asked in order until one answers.

    Attributes:
        NAME: of the map.
        NOTHING: what is found where the column of the server is empty or NULL.
        is_computed: the value may be made of the key.
    """

    NAME: ClassVar[str]
    NOTHING: ClassVar[bytes | None] = b""
    by_key_alone = True
    is_computed = False

    def __init__(self, databases: Sequence[Database], settings: MapSettings) -> None:
        """Use these databases.

        Args:
            databases: at least one.
            settings: of these, the delimiter, the time limit and the most connections.
        """
        self._databases = Servers(databases, settings)
        self._delimiter = settings.delimiter

    def lookup(self, query: Query, /) -> Found:
        """The value of a key, None where there is none.

        Raises:
            MapFailed: none of the databases answers, or the value is nonsense.
        """
        key = text_of(query.key)
        row = None if key is None else self._databases.ask(lambda each: each.look_up(key))
        if row is None:
            return None
        if not row.server:
            return self.NOTHING
        if self.is_computed and may_come_from_key(row.server, query.key):
            return None
        try:
            return read_value(row.server, self._delimiter, row.port)
        except MapFailed as error:
            raise MapFailed(f"{self.NAME}: {error}") from error

    def close(self) -> None:
        for each in self._databases:
            each.close()


class TableMap(SqlMap, abc.ABC):
    """A table on hosts that the fields of 2.2's option name.

    Attributes:
        DATABASE: where the option names none.
    """

    DATABASE: ClassVar[str]

    def __init__(self, option: str, settings: MapSettings) -> None:
        """Use the table that option names.

        Args:
            option: ``hosts[:port[:db[:table[:user[:password[:server_col[:user_col[:port_col]...``
            settings: what else it is told.

        Raises:
            MapFailed: option is not like that.
        """
        access = read_access(option, self.DATABASE)
        super().__init__([self.database(host, access, settings) for host in access.hosts], settings)

    @staticmethod
    @abc.abstractmethod
    def database(host: str, access: Access, settings: MapSettings, /) -> Database:
        """The database on one of the hosts.

        Raises:
            MapFailed: the port is none.
        """


def text_of(key: bytes) -> str | None:
    """A key as text; None where it is none, so that no column has it."""
    try:
        text = key.decode()
    except UnicodeDecodeError:
        return None
    return None if PASSED_OVER.search(text) else text
