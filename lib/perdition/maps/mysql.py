"""mysql: a table in MySQL or MariaDB (reference: maps.md section 10)."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pymysql  # noqa: F401 - that the driver is missing is said at once
from sqlalchemy import event
from sqlalchemy.engine import URL, Dialect

from perdition.maps import MapSettings
from perdition.maps.database import Database
from perdition.maps.sql_engine import new_engine
from perdition.maps.sql_map import TableMap
from perdition.maps.sql_options import Access
from perdition.maps.sql_statement import of_table
from perdition.protocols import encode

LOCAL = "localhost"
PORT = 3306
SOCKET = "/run/mysqld/mysqld.sock"


class Mysql(TableMap):
    """The row of a user; ``localhost`` is reached by the server's own socket, as from C."""

    NAME = "mysql"
    DATABASE = "dbPerdition"

    @staticmethod
    def database(host: str, access: Access, settings: MapSettings, /) -> Database:
        host = host or LOCAL
        port = access.port_number or default_port()
        user, name = access.user or None, access.database or None
        url = URL.create("mysql+pymysql", user, host=host, port=port, database=name)
        # As octets: the driver has Latin-1 for text.
        engine = new_engine(url, settings, {"password": encode(access.password)})
        if host == LOCAL:
            event.listen(engine, "do_connect", use_socket)
        statement = of_table(access.table, engine.dialect.identifier_preparer.quote)
        return Database(f"mysql {access.place(host)}", engine, statement, settings, access.secrets)


def use_socket(
    _dialect: Dialect, _record: Any, _words: Sequence[Any], arguments: dict[str, Any]
) -> None:
    """Connect by the socket, where there is one; TCP is for servers without."""
    if path := socket_path():
        arguments["unix_socket"] = path


def default_port() -> int:
    """The port of servers, as MySQL's client in C finds it."""
    port = os.environ.get("MYSQL_TCP_PORT", "")
    return int(port) if port.isdecimal() else PORT


def socket_path() -> str | None:
    """The socket of the server on this host, as MySQL's client in C finds it; None for none."""
    path = os.environ.get("MYSQL_UNIX_PORT") or SOCKET
    return path if Path(path).exists() else None
