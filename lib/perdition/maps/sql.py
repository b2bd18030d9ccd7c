"""sql: a table or a query in any database that SQLAlchemy knows.

The option is the URL of a database, such as ``sqlite:////etc/perdition/popmap.sqlite``; several,
with blanks between, are asked in order. Words behind it name table and columns, or are a query:
``table=T user_col=C server_col=C port_col=C`` or ``query=SELECT host, port FROM t WHERE n = :key``.
"""

import urllib.parse
from pathlib import Path

from sqlalchemy.engine import URL, Dialect, make_url
from sqlalchemy.exc import SQLAlchemyError

from perdition.maps import MapFailed, MapSettings
from perdition.maps.database import Database
from perdition.maps.sql_engine import new_engine
from perdition.maps.sql_map import SqlMap
from perdition.maps.sql_options import Places, read_places
from perdition.maps.sql_statement import Statement, of_query, of_table

# Names without quotes are taken as they are written by these, and by others in small letters.
KEEP_CASE = {"mysql", "mariadb", "sqlite", "mssql"}
# Debian's and PyPI's packages of drivers whose modules are called otherwise; empty for none.
PACKAGES = {
    "MySQLdb": ("python3-mysqldb", "mysqlclient"),
    "mysql": ("", "mysql-connector-python"),
}


class Sql(SqlMap):
    """What a table or a query says of a user."""

    NAME = "sql"

    def __init__(self, option: str, settings: MapSettings) -> None:
        """Use the databases and the table or query that option names.

        Raises:
            MapFailed: option is not as it should be, or a driver is missing.
        """
        places = read_places(option)
        self.is_computed = bool(places.query) or any(":key" in each for each in places.table)
        super().__init__(
            [
                database(number, text, places, settings)
                for number, text in enumerate(places.urls, 1)
            ],
            settings,
        )


def database(number: int, text: str, places: Places, settings: MapSettings) -> Database:
    """The database of a URL.

    Args:
        number: its place among the URLs, from 1.
        text: the URL.
        places: what is looked up there.
        settings: what else the map is told.

    Raises:
        MapFailed: it is no URL of a database, or its driver is missing. The text does not show it.
    """
    which = f"map_library_opt: URL {number}"
    try:
        url = make_url(text)
        if getattr(url.get_dialect(), "is_async", False):
            raise MapFailed(f"{which}: {url.drivername} is a driver for asyncio")
        arguments = {"check_same_thread": False} if url.get_backend_name() == "sqlite" else {}
        engine = new_engine(for_reading(url), settings, arguments)
    except ImportError as error:
        missing = error.name or ""
        debian, pypi = PACKAGES.get(missing, (f"python3-{missing}", missing))
        first = f"Debian's {debian} or " if debian else ""
        raise MapFailed(f"{which}: {error}: install {first}PyPI's {pypi}") from error
    except (SQLAlchemyError, TypeError, ValueError) as error:
        raise MapFailed(
            f"{which}: not the URL of a database, such as postgresql://user:password@host/database"
        ) from error
    statement = statement_of(places, engine.dialect)
    secrets = [str(url.password or "")] if url.password != url.username else []
    return Database(f"sql {shown(url)}", engine, statement, settings, secrets)


def for_reading(url: URL) -> URL:
    """The URL, which for a file of SQLite says that it is opened for reading only.

    Else a file that is not there would be made, and there would be nothing in it.

    Raises:
        MapFailed: the file has no absolute path: the daemon is in another directory.
    """
    name = url.database or ":memory:"
    if url.get_backend_name() != "sqlite" or name.startswith((":memory:", "file:")):
        return url
    if not Path(name).is_absolute():
        raise MapFailed(f"map_library_opt: not an absolute path: {name}: write sqlite:////...")
    query = {"mode": "ro", "uri": "true", **url.query}
    return url.set(database=f"file:{urllib.parse.quote(name)}", query=query)


def statement_of(places: Places, dialect: Dialect) -> Statement:
    """What is asked.

    Raises:
        MapFailed: the query is not one of a key.
    """
    if places.query:
        return of_query(places.query)
    quote = dialect.identifier_preparer.quote
    if dialect.name in KEEP_CASE:
        return of_table(places.table, quote)
    return of_table(places.table, lambda name: quote(name.lower()))


def shown(url: URL) -> str:
    """What a database is called in messages."""
    if not url.host:
        return f"{url.get_backend_name()} {url.database or ''}".rstrip()
    return f"{url.get_backend_name()} {url.host}" + (f":{url.port}" if url.port else "")
