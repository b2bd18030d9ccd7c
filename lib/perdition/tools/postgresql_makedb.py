"""perditiondb_postgresql_makedb: make database, account and table for the map postgresql.

The database of that name is dropped before, if the operator agrees. The password of the user
postgres is needed, unless the server trusts who connects: then it may be empty. A host that begins
with a slash is the directory of the server's socket.

The name that it proposes, dbPerdition as in 2.2, is not the map's own, dbperdition: write the
map_library_opt that it shows at its end.
"""

import contextlib
import importlib
import os
import re
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

from perdition.tools import makedb
from perdition.tools.makedb import DATABASE, SERVER, USER, ask, step

ADMINISTRATOR = "postgres"
DIGITS = re.compile(r"[0-9]+")


class Plan(NamedTuple):
    """What is to be made.

    Attributes:
        server: the host of PostgreSQL.
        database: its name.
        table: its name in small letters: nothing quotes it.
        user, password: the new account, which owns both.
    """

    server: str
    database: str
    table: str
    user: str
    password: str


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; returns the exit status."""
    return makedb.run(make, __doc__, arguments)


def make() -> None:
    """Ask, and make it.

    Raises:
        NotWanted, Failed, MapFailed: nothing is made, or not all of it.
    """
    store = makedb.load("postgresql")
    plan, number = ask_plan()
    makedb.confirm(
        {
            "Database name": plan.database,
            "Database user id": number,
            "Database table": plan.table,
            "Database user": plan.user,
            "Database server": plan.server,
        }
    )
    makedb.explain(f"The password of PostgreSQL's user {ADMINISTRATOR} is needed.")
    secret = makedb.read_secret("Password: ")
    with contextlib.closing(connect(store.driver, plan.server, secret)) as admin:
        make_database(plan, admin, store.driver)
    with contextlib.closing(connect(store.driver, plan.server, secret, plan.database)) as admin:
        make_table(plan, admin, store.driver)
    makedb.tell_how(
        f'psql --host="{plan.server}" --username="{plan.user}" "{plan.database}"',
        plan.table,
        f"{plan.server}::{plan.database}:{plan.table}:{plan.user}:PASSWORD",
        "libperditiondb_postgresql.so.0",
    )


def ask_plan() -> tuple[Plan, str]:
    """Ask what is to be made.

    Returns:
        With the number of the user, which PostgreSQL does not want any more.

    Raises:
        Failed: there are no more answers.
    """
    makedb.explain("The database is perdition's own: one of that name is dropped.")
    database = ask("database name", DATABASE)
    makedb.explain(f"The table in {database} has users and their servers.")
    table = makedb.ask_table().lower()
    makedb.explain(f"Another user than {ADMINISTRATOR} should be used to access {database}.")
    user = ask("database user", USER)
    own = str(os.getuid())
    number = ask(f"a numeric userid for the {user} user", own, DIGITS, "digits only")
    password = makedb.ask_new_password(user)
    makedb.explain("PostgreSQL should be running already, on this host or another one.")
    server = ask("host name", SERVER)
    return Plan(server, database, table, user, password), number


def connect(driver: Any, server: str, password: str, database: str = ADMINISTRATOR) -> Any:
    """A connection of the administrator's.

    Args:
        driver: psycopg or psycopg2.
        server: the host of PostgreSQL.
        password: the administrator's; empty for none.
        database: its name.

    Raises:
        Failed: there is none.
    """
    secret = {"password": password} if password else {}
    try:
        connection = driver.connect(
            host=server, user=ADMINISTRATOR, dbname=database, client_encoding="utf8", **secret
        )
    except driver.Error as error:
        raise makedb.Failed(
            f"Error: cannot connect as {ADMINISTRATOR}: {makedb.reason(error)}"
        ) from error
    connection.autocommit = True
    return connection


def make_database(plan: Plan, admin: Any, driver: Any) -> None:
    """Make the account and its database.

    Args:
        plan: what is to be made.
        admin: a connection.
        driver: whose it is.

    Raises:
        Failed: something cannot be made.
    """
    sql = importlib.import_module(f"{driver.__name__}.sql")
    user, database = sql.Identifier(plan.user), sql.Identifier(plan.database)
    with contextlib.closing(admin.cursor()) as cursor:
        with step(f"Dropping database {plan.database}", driver.Error):
            cursor.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(database))
        with step(f"Adding user {plan.user}", driver.Error):
            cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (plan.user,))
            verb = "ALTER" if cursor.fetchone() else "CREATE"
            secret = sql.Literal(encrypted(plan, admin))
            words = sql.SQL(f"{verb} ROLE {{}} LOGIN PASSWORD {{}}")
            cursor.execute(words.format(user, secret))
        with step(f"Creating database {plan.database}", driver.Error):
            cursor.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(database, user))


def make_table(plan: Plan, admin: Any, driver: Any) -> None:
    """Make the table.

    Args:
        plan: what is to be made.
        admin: a connection to the new database.
        driver: whose it is.

    Raises:
        Failed: it cannot be made.
    """
    sql = importlib.import_module(f"{driver.__name__}.sql")
    user, table = sql.Identifier(plan.user), sql.Identifier(plan.table)
    what = f"Creating table {plan.table} in database {plan.database}"
    with contextlib.closing(admin.cursor()) as cursor, step(what, driver.Error):
        columns = makedb.columns('"')
        cursor.execute(sql.SQL(f"CREATE TABLE {{}} ({columns})").format(table))
        cursor.execute(sql.SQL("ALTER TABLE {} OWNER TO {}").format(table, user))


def encrypted(plan: Plan, admin: Any) -> str:
    """The password as the server keeps it, so that none of its logs has it in the clear."""
    if hasattr(admin, "pgconn"):
        secret = admin.pgconn.encrypt_password(plan.password.encode(), plan.user.encode())
        return str(secret.decode())
    encrypt = importlib.import_module("psycopg2.extensions").encrypt_password
    return str(encrypt(plan.password, plan.user, scope=admin))


if __name__ == "__main__":
    sys.exit(main())
