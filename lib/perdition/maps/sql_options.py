"""The option strings of the maps in SQL databases (reference: maps.md sections 10 to 12)."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from perdition.maps import MapFailed
from perdition.parameters import MOST_PORT

FIELDS = ("hosts", "port", "db", "table", "user", "password", "server_col", "user_col", "port_col")
WORD = re.compile(r"\S+")
# The words of the map sql, and the fields of Table that they are for.
SETTINGS = {"table": "name", "user_col": "user", "server_col": "server", "port_col": "port"}


class Table(NamedTuple):
    """The table, and its columns. The names are those of perditiondb_mysql_makedb.

    Attributes:
        name: of the table.
        user: the column that is compared with the key.
        server: the column of the value.
        port: the column of ports; empty where there is none.
    """

    name: str = "tblPerdition"
    user: str = "user"
    server: str = "servername"
    port: str = "port"


class Access(NamedTuple):
    """What a list with colons says. An empty field is empty; one that is missing has a default.

    Attributes:
        hosts: names, to be tried in order; one that is empty where there is none.
        port: as it was written.
        database: its name.
        user, password: of the account; the password is not shown anywhere.
        table: where to look.
    """

    hosts: Sequence[str]
    port: str
    database: str
    user: str
    password: str
    table: Table

    def __repr__(self) -> str:
        return f"Access({self.hosts!r}, {self.port!r}, {self.database!r}, {self.user!r})"

    @property
    def port_number(self) -> int:
        """The port; 0 for the driver's own default.

        Raises:
            MapFailed: it is no number of a port.
        """
        if not self.port:
            return 0
        if not self.port.isascii() or not self.port.isdecimal() or int(self.port) > MOST_PORT:
            raise MapFailed(f"map_library_opt: not the number of a port: {self.port!r}")
        return int(self.port)

    @property
    def secrets(self) -> Sequence[str]:
        """What no message may have in it. The default password is the name of the user."""
        return [] if self.password == self.user else [self.password]

    def place(self, host: str) -> str:
        """A host, with its port if that is given, for messages."""
        return f"{host}:{self.port}" if self.port_number else host


class Places(NamedTuple):
    """What the option of the map `sql` says.

    Attributes:
        urls: databases, to be tried in order; they may have passwords in them.
        table: where to look.
        query: what to ask instead; empty for the table.
    """

    urls: Sequence[str]
    table: Table
    query: str

    def __repr__(self) -> str:
        return f"Places({len(self.urls)} URLs, {self.table!r}, {self.query!r})"


def read_access(option: str, database: str) -> Access:
    """Read ``hosts[:port[:db[:table[:user[:password[:server_col[:user_col[:port_col]]]]]]]]``.

    Args:
        option: `map_library_opt`; empty for the defaults.
        database: its default name.

    Raises:
        MapFailed: there are more fields, or one is empty that may not be.
    """
    # 2.2 drops an empty field at the end, once.
    parts = option.removesuffix(":").split(":") if option else []
    if len(parts) > len(FIELDS):
        raise MapFailed(
            f"map_library_opt: {len(parts)} fields with colons between, and there are only "
            f"{len(FIELDS)}: {':'.join(FIELDS)}; no field can have a colon in it: use the map sql"
        )
    table = Table()
    defaults = ("localhost", "0", database, table.name, "perdition", "perdition")
    columns = (table.server, table.user, table.port)
    given = dict(zip(FIELDS, (*defaults, *columns), strict=True)) | dict(
        zip(FIELDS, parts, strict=False)
    )
    table = Table(given["table"], given["user_col"], given["server_col"], given["port_col"])
    check_table(table)
    return Access(
        split_list(given["hosts"]),
        given["port"],
        given["db"],
        given["user"],
        given["password"],
        table,
    )


def read_places(option: str) -> Places:
    """Read ``URL [URL ...] [table=T] [user_col=C] [server_col=C] [port_col=C] [query=...]``.

    What follows ``query=`` is the query, to the end.

    Raises:
        MapFailed: that is not what it is; the text has nothing of a URL.
    """
    urls: list[str] = []
    settings: dict[str, str] = {}
    query = ""
    for word in WORD.finditer(option):
        name, equals, value = word[0].partition("=")
        if not equals or "://" in name:
            urls.append(word[0])
        elif name == "query":
            query = option[word.start() :].removeprefix("query=").strip()
            break
        elif name in SETTINGS:
            settings[SETTINGS[name]] = value
        else:
            raise MapFailed(f"map_library_opt: there is no {name}=")
    if not urls:
        raise MapFailed(
            "map_library_opt: the map sql needs the URL of a database, such as "
            "sqlite:////etc/perdition/popmap.sqlite"
        )
    if query and settings:
        raise MapFailed("map_library_opt: a query names table and columns itself")
    table = Table()._replace(**settings)
    check_table(table)
    return Places(urls, table, query)


def check_table(table: Table) -> None:
    """Check that everything is named that has to be.

    Raises:
        MapFailed: it is not.
    """
    for name, field in SETTINGS.items():
        if field != "port" and not getattr(table, field):
            raise MapFailed(f"map_library_opt: {name} is empty")


def split_list(text: str) -> Sequence[str]:
    """The items of a list with commas; one that is empty where there is none."""
    return [item for each in text.split(",") if (item := each.strip())] or [""]
