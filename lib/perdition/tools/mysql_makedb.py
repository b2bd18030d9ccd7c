"""perditiondb_mysql_makedb: make the database of a popmap in MySQL or MariaDB.

It asks what it has to know. A database of that name that is there is dropped. The exit status is 1
where it is not made.
"""

import socket
import sys
from typing import Any, NamedTuple

from perdition.tools import questions

try:
    import pymysql
except ImportError as error:
    sys.exit(f"{error}: install Debian's python3-pymysql or PyPI's pymysql")

SUCCESS, FAILURE = 0, 1
LOCAL = "localhost"
SOCKET = "/run/mysqld/mysqld.sock"


class Wanted(NamedTuple):
    """What is to be made: a database with a table, and who may read it, from which host."""

    database: str
    table: str
    user: str
    password: str
    client: str

    def __repr__(self) -> str:
        return f"Wanted({self.database!r}, {self.table!r}, {self.user!r})"


def main() -> int:
    """Run the program.

    Returns:
        The exit status.
    """
    questions.begin()
    try:
        print("\nMySQL or MariaDB should already be running.")
        host = questions.ask_for("host name", LOCAL)
        root = questions.ask_secretly("Enter the password for the MySQL root user: ")
        with connect(host, root) as connection:
            wanted = ask(host)
            make(connection, wanted)
    except questions.Refused as error:
        print(f"{error}. Bailing", file=sys.stderr)
        return FAILURE
    except pymysql.MySQLError as error:
        print(f"Error: {error.args[-1]}. Bailing", file=sys.stderr)
        return FAILURE
    print("Done\n\nAdd users to the table, and use it by\n")
    print("map_library libperditiondb_mysql.so.0")
    place = host if ":" in host else f"{host}:"
    print(f"map_library_opt {place}:{wanted.database}:{wanted.table}:{wanted.user}:PASSWORD")
    return SUCCESS


def connect(host: str, password: str) -> Any:
    """A connection of the server's administrator; HOST may be HOST:PORT.

    Raises:
        pymysql.MySQLError: there is none.
    """
    if host == LOCAL:
        return pymysql.connect(user="root", password=password, unix_socket=SOCKET, autocommit=True)
    name, _, port = host.partition(":")
    return pymysql.connect(
        host=name, port=int(port or 3306), user="root", password=password, autocommit=True
    )


def ask(host: str) -> Wanted:
    """Ask for the rest, and whether to go on.

    Raises:
        Refused: not so.
    """
    database = questions.ask_for("database name", "dbPerdition")
    table = questions.ask_for("table name", "tblPerdition")
    user = questions.ask_for("database user", "perdition")
    password = questions.ask_new_password(user)
    ours = LOCAL if host == LOCAL else socket.gethostname()
    client = questions.ask_for("host that perdition runs on", ours)
    print(f"Database name:            {database}")
    print(f"Database table:           {table}")
    print(f"Database user:            {user}")
    print(f"Database server:          {host}")
    print(f"Database client:          {client}")
    questions.confirm("Proceed (May destroy existing data in database) [y/n]? ")
    return Wanted(database, table, user, password, client)


def make(connection: Any, wanted: Wanted) -> None:
    """Make it.

    Raises:
        pymysql.MySQLError: the server does not want to.
    """
    database, table = quoted(wanted.database), quoted(wanted.table)
    index = quoted(f"idx{wanted.table}_user")
    who = (wanted.user, wanted.client)
    with connection.cursor() as cursor:
        cursor.execute(f"DROP DATABASE IF EXISTS {database}")
        cursor.execute(f"CREATE DATABASE {database}")
        cursor.execute("CREATE USER IF NOT EXISTS %s@%s", who)
        cursor.execute("ALTER USER %s@%s IDENTIFIED BY %s", (*who, wanted.password))
        cursor.execute(
            f"CREATE TABLE {database}.{table} (user varchar(128) NOT NULL PRIMARY KEY, "
            "servername varchar(255) NOT NULL, port varchar(8) DEFAULT NULL)"
        )
        cursor.execute(f"CREATE INDEX {index} ON {database}.{table} (user)")
        # The name of a database in GRANT is a pattern.
        pattern = quoted(wanted.database.replace("_", r"\_").replace("%", r"\%"))
        cursor.execute(f"GRANT SELECT ON {pattern.replace('%', '%%')}.* TO %s@%s", who)


def quoted(name: str) -> str:
    """A name as it stands in a statement."""
    return f"`{name.replace('`', '``')}`"


if __name__ == "__main__":
    sys.exit(main())
