"""perditiondb_mysql_makedb: make database, account and table for the map mysql.

The database of that name is dropped before, if the operator agrees. Root's password is needed; on
the server's own host, root may need none.
"""

import contextlib
import re
import socket
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

from perdition.tools import makedb
from perdition.tools.makedb import DATABASE, SERVER, USER, ask, step

# A pattern of hosts (MySQL, "Specifying Account Names").
CLIENTS = re.compile(r"[^'\"`\\\s]+")


class Plan(NamedTuple):
    """What is to be made.

    Attributes:
        server: the host of MySQL.
        database, table: their names.
        user, password: the new account, which may do everything in that database.
        clients: the hosts that it may connect from.
    """

    server: str
    database: str
    table: str
    user: str
    password: str
    clients: str


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; returns the exit status."""
    return makedb.run(make, __doc__, arguments)


def make() -> None:
    """Ask, and make it.

    Raises:
        NotWanted, Failed, MapFailed: nothing is made, or not all of it.
    """
    store = makedb.load("mysql")
    makedb.explain("MySQL should be running already, on this host or another one.")
    server = ask("host name", SERVER)
    makedb.explain("The password of MySQL's user root is needed, to add a user for perdition.")
    secret = makedb.read_secret("Enter the password for the MySQL root user: ")
    with contextlib.closing(connect(store, server, secret)) as root:
        plan = ask_plan(server)
        makedb.confirm(
            {
                "Database server": plan.server,
                "Database name": plan.database,
                "Database table": plan.table,
                "Database user": plan.user,
                "Connections allowed from": plan.clients,
            }
        )
        carry_out(plan, root, store.pymysql.MySQLError)
    makedb.tell_how(
        f'mysql --user="{plan.user}" --password --host="{plan.server}" "{plan.database}"',
        plan.table,
        f"{plan.server}:0:{plan.database}:{plan.table}:{plan.user}:PASSWORD",
        "libperditiondb_mysql.so.0",
    )


def ask_plan(server: str) -> Plan:
    """Ask what is to be made.

    Args:
        server: the host of MySQL.

    Raises:
        Failed: there are no more answers.
    """
    makedb.explain("The database is perdition's own: one of that name is dropped.")
    database = ask("database name", DATABASE)
    makedb.explain(f"The table in {database} has users and their servers.")
    table = makedb.ask_table()
    makedb.explain(f"Another user than root should be used to access {database}.")
    user = ask("database user", USER)
    password = makedb.ask_new_password(user)
    makedb.explain(
        f"{user} is accepted from certain hosts: a name or an address, where % stands for any "
        "characters and _ for any one."
    )
    here = SERVER if server == SERVER else socket.gethostname()
    clients = ask("hostname", here, CLIENTS, "no quotes and blanks")
    return Plan(server, database, table, user, password, clients)


def connect(store: Any, server: str, password: str) -> Any:
    """A connection of root's.

    Args:
        store: the module of the map mysql: it knows where servers are.
        server: its host.
        password: root's.

    Raises:
        Failed: there is none.
    """
    path = store.socket_path() if server == SERVER else None
    try:
        return store.pymysql.connect(
            host=server,
            port=store.default_port(),
            unix_socket=path,
            user="root",
            password=password.encode(),
            charset="utf8mb4",
        )
    except store.pymysql.MySQLError as error:
        raise makedb.Failed(f"Error: cannot connect as root: {makedb.reason(error)}") from error


def carry_out(plan: Plan, root: Any, error: type[Exception]) -> None:
    """Make it.

    Args:
        plan: what is to be made.
        root: a connection.
        error: what it raises.

    Raises:
        Failed: something cannot be made.
    """
    database, table = quoted(plan.database), quoted(plan.table)
    # In GRANT, the name of a database is a pattern.
    pattern = re.sub(r"([_%\\])", r"\\\1", database).replace("%", "%%")
    account = (plan.user, plan.clients)
    with contextlib.closing(root.cursor()) as cursor:
        with step(f"Dropping database {plan.database}", error):
            cursor.execute(f"DROP DATABASE IF EXISTS {database}")
        with step(f"Creating database {plan.database}", error):
            cursor.execute(f"CREATE DATABASE {database}")
        with step(f"Granting access to {plan.database} for user {plan.user}", error):
            cursor.execute(
                "CREATE USER IF NOT EXISTS %s@%s IDENTIFIED BY %s", (*account, plan.password)
            )
            # It may have been there, with another password.
            cursor.execute("ALTER USER %s@%s IDENTIFIED BY %s", (*account, plan.password))
            cursor.execute(f"GRANT ALL PRIVILEGES ON {pattern}.* TO %s@%s", account)
        with step(f"Creating table {plan.table} in database {plan.database}", error):
            cursor.execute(f"CREATE TABLE {database}.{table} ({makedb.columns()})")
            index = quoted(f"idx{plan.table}_user")
            cursor.execute(f"CREATE INDEX {index} ON {database}.{table} (user)")


def quoted(name: str) -> str:
    """A name, for a statement."""
    return f"`{name.replace('`', '``')}`"


if __name__ == "__main__":
    sys.exit(main())
