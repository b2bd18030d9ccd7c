"""perditiondb_odbc_makedb: make the table of a popmap in a data source of ODBC.

It asks what it has to know. The exit status is 1 where the table is not made.
"""

import contextlib
import sys

from perdition.tools import questions

try:
    import pyodbc

    from perdition.maps.odbc import braced
except ImportError as error:
    sys.exit(
        f"{error}: install Debian's python3-pyodbc and python3-sqlalchemy or PyPI's perdition[odbc]"
    )

SUCCESS, FAILURE = 0, 1
INTRODUCTION = """
ODBC should already be configured on a host. A data source (DSN), and a user for
perdition, have to be there: this is typically done by the database's own means.
"""


def main() -> int:
    """Run the program.

    Returns:
        The exit status.
    """
    questions.begin()
    print(INTRODUCTION)
    try:
        questions.confirm("Has ODBC, a DSN and user been set up? [y/N]: ")
        source = questions.ask_for("DSN", "dbPerdition")
        table = questions.ask_for("table name", "tblPerdition")
        user = questions.ask_for("database user", "perdition")
        password = questions.ask_secretly(f"Enter the password for the {user} user: ")
        print(f"Data source:              {source}")
        print(f"Database table:           {table}")
        print(f"Database user:            {user}")
        questions.confirm("Proceed (May destroy existing data in database) [y/n]? ")
        make(source, table, user, password)
    except questions.Refused as error:
        print(f"{error}. Bailing", file=sys.stderr)
        return FAILURE
    except pyodbc.Error as error:
        print(
            f"Error: {str(error.args[-1]).replace(password, '********')}. Bailing", file=sys.stderr
        )
        return FAILURE
    print("Done\n\nAdd users to the table, and use it by\n")
    print("map_library libperditiondb_odbc.so.0")
    print(f"map_library_opt ::{source}:{table}:{user}:PASSWORD")
    return SUCCESS


def make(source: str, table: str, user: str, password: str) -> None:
    """Make the table anew.

    Raises:
        Refused: the name of the table has other characters than letters, digits and _.
        pyodbc.Error: the database does not want to.
    """
    if not table.isidentifier():
        raise questions.Refused(f"{table}: not a name that every database takes")
    words = f"DSN={source};UID={braced(user)}"
    if password:
        words += f";PWD={braced(password)}"
    with contextlib.closing(pyodbc.connect(words, autocommit=True)) as connection:
        if connection.cursor().tables(table=table).fetchone():
            connection.execute(f"DROP TABLE {table}")
        # "user" is a word of its own to many: how they quote it, the driver knows.
        quote = connection.getinfo(pyodbc.SQL_IDENTIFIER_QUOTE_CHAR).strip()
        connection.execute(
            f"CREATE TABLE {table} ({quote}user{quote} varchar(128) NOT NULL PRIMARY KEY, "
            "servername varchar(255) NOT NULL, port varchar(8) DEFAULT NULL)"
        )


if __name__ == "__main__":
    sys.exit(main())
