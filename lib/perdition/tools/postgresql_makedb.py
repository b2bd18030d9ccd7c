"""perditiondb_postgresql_makedb: make the database of a popmap in PostgreSQL.

It asks what it has to know. A database of that name that is there is dropped. The server's
administrator is who libpq says (PGUSER, PGPASSWORD, PGPORT), by default the user postgres, who root
becomes for a server on this machine. The exit status is 1 where it is not made.
"""

import contextlib
import os
import pwd
import sys
from typing import Any, NamedTuple

from perdition.tools import questions

try:
    import psycopg
    from psycopg import sql
except ImportError as error:
    sys.exit(f"{error}: install Debian's python3-psycopg or PyPI's psycopg[binary]")

SUCCESS, FAILURE = 0, 1
LOCAL = "localhost"
ADMIN = "postgres"


class Wanted(NamedTuple):
    """What is to be made: a database with a table, and who may read it."""

    database: str
    table: str
    user: str
    password: str

    def __repr__(self) -> str:
        return f"Wanted({self.database!r}, {self.table!r}, {self.user!r})"


def main() -> int:
    """Run the program.

    Returns:
        The exit status.
    """
    questions.begin()
    try:
        wanted, host = ask()
        become_administrator(host)
        make(wanted, host)
    except questions.Refused as error:
        print(f"{error}. Bailing", file=sys.stderr)
        return FAILURE
    except psycopg.Error as error:
        print(f"Error: {' '.join(str(error).split())}. Bailing", file=sys.stderr)
        return FAILURE
    print("Done\n\nAdd users to the table, and use it by\n")
    print("map_library libperditiondb_postgresql.so.0")
    print(f"map_library_opt {host}::{wanted.database}:{wanted.table}:{wanted.user}:PASSWORD")
    return SUCCESS


def ask() -> tuple[Wanted, str]:
    """Ask for everything, and whether to go on; the host comes last.

    Names of databases and tables go to small letters, as the map has them.

    Raises:
        Refused: not so.
    """
    database = questions.ask_for("database name", "dbPerdition").lower()
    table = questions.ask_for("table name", "tblPerdition").lower()
    user = questions.ask_for("database user", "perdition")
    # PostgreSQL has forgotten what it was for.
    questions.ask_for(f"a numeric userid for the {user} user (not used any more)", "0")
    password = questions.ask_new_password(user)
    print("\nPostgreSQL should already be running.")
    host = questions.ask_for("host name", LOCAL)
    print(f"Database name:            {database}")
    print(f"Database table:           {table}")
    print(f"Database user:            {user}")
    print(f"Database server:          {host}")
    questions.confirm("Proceed (May destroy existing data in database) [y/n]? ")
    return Wanted(database, table, user, password), host


def become_administrator(host: str) -> None:
    """Be the one whom a server on this machine knows as its administrator, if we may."""
    if host == LOCAL and os.geteuid() == 0 and "PGUSER" not in os.environ:
        with contextlib.suppress(KeyError):
            account = pwd.getpwnam(ADMIN)
            os.setgid(account.pw_gid)
            os.setuid(account.pw_uid)


def connect(host: str, database: str) -> Any:
    """A connection of the administrator; localhost is reached by the server's socket.

    Raises:
        psycopg.Error: there is none.
    """
    return psycopg.connect(
        dbname=database,
        user=os.environ.get("PGUSER", ADMIN),
        host=None if host == LOCAL else host,
        autocommit=True,
    )


def make(wanted: Wanted, host: str) -> None:
    """Make it.

    Raises:
        psycopg.Error: the server does not want to.
    """
    names = {
        "database": sql.Identifier(wanted.database),
        "table": sql.Identifier(wanted.table),
        "user": sql.Identifier(wanted.user),
        "password": sql.Literal(wanted.password),
    }
    with connect(host, "postgres") as connection:
        known = connection.execute(
            "SELECT 1 FROM pg_roles WHERE rolname = %s", (wanted.user,)
        ).fetchone()
        verb = "ALTER" if known else "CREATE"
        for text in (
            "DROP DATABASE IF EXISTS {database}",
            f"{verb} ROLE {{user}} LOGIN PASSWORD {{password}}",
            "CREATE DATABASE {database}",
        ):
            connection.execute(sql.SQL(text).format(**names))
    with connect(host, wanted.database) as connection:
        for text in (
            'CREATE TABLE {table} ("user" varchar(128) NOT NULL PRIMARY KEY, '
            "servername varchar(255) NOT NULL, port varchar(8))",
            "GRANT SELECT ON {table} TO {user}",
        ):
            connection.execute(sql.SQL(text).format(**names))


if __name__ == "__main__":
    sys.exit(main())
