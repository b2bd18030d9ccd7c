"""odbc: a table in whatever there is an ODBC driver for (reference: maps.md section 12)."""

import codecs
from typing import Any

import pyodbc
from sqlalchemy.dialects import registry
from sqlalchemy.engine import URL
from sqlalchemy.engine.default import DefaultDialect

from perdition.maps import MapFailed, MapSettings
from perdition.maps.database import Database
from perdition.maps.sql_engine import new_engine
from perdition.maps.sql_map import SqlMap
from perdition.maps.sql_options import Access, read_access, split_list
from perdition.maps.sql_statement import of_table

SOURCE = "dbPerdition"
DIALECT = "perdition_odbc"
# Of connection strings: these need braces around them (SQLDriverConnect, "Comments").
SPECIAL = set("[]{}(),;?*=!@ ")

# The pool is ours: a connection of the driver manager's may be as dead as the one before.
pyodbc.pooling = False
# What pyodbc uses for text. Workers import nothing: they may not be able to read files.
codecs.lookup("utf-16-le")
registry.register(DIALECT, "perdition.maps.odbc", "AnyDialect")


class Odbc(SqlMap):
    """The row of a user. Names are written as they are given: who knows how they are quoted."""

    NAME = "odbc"

    def __init__(self, option: str, settings: MapSettings) -> None:
        """Use the table that option names.

        Args:
            option: as that of the map mysql; db is the name of a data source, or several with
                commas between, and hosts and port do not count.
            settings: what else it is told.

        Raises:
            MapFailed: option is not like that.
        """
        access = read_access(option, SOURCE)
        sources = split_list(access.database)
        super().__init__([database(each, access, settings) for each in sources], settings)


class AnyDialect(DefaultDialect):
    """What all databases have in common, by way of ODBC."""

    name = DIALECT
    driver = "pyodbc"
    supports_statement_cache = True

    @classmethod
    def import_dbapi(cls) -> Any:
        return pyodbc

    # Its name in SQLAlchemy 1.4.
    dbapi = import_dbapi  # type: ignore[assignment]

    def create_connect_args(self, url: URL) -> Any:
        """What pyodbc.connect is told: there is never a transaction."""
        words = connection_string(url.database or "", url.username or "", str(url.password or ""))
        return [words], {"autocommit": True}

    def do_rollback(self, dbapi_connection: Any) -> None:
        """There is nothing to take back."""

    def do_commit(self, dbapi_connection: Any) -> None:
        """There is nothing to commit."""


def database(source: str, access: Access, settings: MapSettings) -> Database:
    """The database that a data source means.

    Raises:
        MapFailed: it has no name.
    """
    if not source:
        raise MapFailed("map_library_opt: db is empty: it is the name of an ODBC data source")
    url = URL.create(DIALECT, access.user or None, access.password or None, database=source)
    statement = of_table(access.table, str)
    engine = new_engine(url, settings)
    return Database(f"odbc {source}", engine, statement, settings, access.secrets)


def connection_string(source: str, user: str, password: str) -> str:
    """What names a data source and an account; of these, what is empty is left out."""
    words = [f"DSN={source}"]
    if user:
        words.append(f"UID={braced(user)}")
    if password:
        words.append(f"PWD={braced(password)}")
    return ";".join(words)


def braced(text: str) -> str:
    """A value of a connection string."""
    return f"{{{text.replace('}', '}}')}}}" if SPECIAL & set(text) else text
