"""perditiondb_odbc_makedb: make the table for the map odbc, in a data source that is there.

A table of that name is dropped before, if the operator agrees.
"""

import contextlib
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

from perdition.tools import makedb
from perdition.tools.makedb import DATABASE, SERVER, USER, ask, step


class Plan(NamedTuple):
    """What is to be made.

    Attributes:
        server: the host; the data source knows better.
        source: the name of the data source (DSN).
        table: its name, which nothing quotes.
        user, password: an account that is there.
    """

    server: str
    source: str
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
    store = makedb.load("odbc")
    plan = ask_plan()
    makedb.confirm(
        {"Server": plan.server, "DSN": plan.source, "Table": plan.table, "User": plan.user}
    )
    make_table(plan, store)
    makedb.tell_how(
        f'isql "{plan.source}" "{plan.user}" PASSWORD',
        plan.table,
        f"{plan.server}:0:{plan.source}:{plan.table}:{plan.user}:PASSWORD",
        "libperditiondb_odbc.so.0",
    )


def ask_plan() -> Plan:
    """Ask what is to be made.

    Raises:
        NotWanted: there is no data source yet.
        Failed: there are no more answers.
    """
    makedb.explain(
        "ODBC should be configured already, with a data source (DSN) for perdition, and a user of "
        "the database who may create tables there."
    )
    makedb.is_wanted("Has ODBC, a DSN and user been set up? [y/N]: ")
    makedb.explain("The host is the data source's to know; what is said here does not count.")
    server = ask("host name", SERVER)
    source = ask("DSN", DATABASE)
    makedb.explain(
        f"The table in {source} has users and their servers. One of that name is dropped."
    )
    table = makedb.ask_table()
    user = ask("user", USER)
    password = makedb.ask_password(f"Enter the password for the {user} user: ")
    return Plan(server, source, table, user, password)


def make_table(plan: Plan, store: Any) -> None:
    """Make the table.

    Args:
        plan: what is to be made.
        store: the module of the map odbc.

    Raises:
        Failed: it cannot be made.
    """
    error = store.pyodbc.Error
    words = store.connection_string(plan.source, plan.user, plan.password)
    with step(f"Connecting to {plan.source}", error):
        connection = store.pyodbc.connect(words, autocommit=True)
    with contextlib.closing(connection), contextlib.closing(connection.cursor()) as cursor:
        what = f"Creating table {plan.table} in {plan.source}"
        with step(what, error):
            if is_there(cursor, plan.table):
                cursor.execute(f"DROP TABLE {plan.table}")
            # Some databases do not take "user" for a name without quotes.
            quote = connection.getinfo(store.pyodbc.SQL_IDENTIFIER_QUOTE_CHAR).strip()
            cursor.execute(f"CREATE TABLE {plan.table} ({makedb.columns(quote)})")
            name = f"{quote}user{quote}"
            cursor.execute(f"CREATE INDEX idx{plan.table}_user ON {plan.table} ({name})")


def is_there(cursor: Any, table: str) -> bool:
    """Whether there is a table of that name; databases may have changed its case."""
    names = {row.table_name for row in cursor.tables(tableType="TABLE")}
    return table.lower() in {name.lower() for name in names}


if __name__ == "__main__":
    sys.exit(main())
