"""What is asked of a database, and how a row that it answers is read."""

import numbers
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import sqlalchemy
from sqlalchemy.sql.expression import TextClause

from perdition.maps import MapFailed
from perdition.maps.sql_options import Table
from perdition.protocols import decode, encode

# A name that SQL takes without quotes. Anything else is what the operator has written in SQL, such
# as a name in quotes or an expression, and stays as it is: 2.2 pasted all of them into its query.
PLAIN = re.compile(r"[^\W\d][\w$]*")
NAME = r"(?:[^\W\d][\w$]*|`[^`]+`|\"[^\"]+\"|\[[^\]]+\])"
# The name of a column, perhaps with quotes, and with that of its table before it.
COLUMN = re.compile(rf"(?:{NAME}\.)*{NAME}")
Write = Callable[[str], str]


class Row(NamedTuple):
    """What a row says.

    Attributes:
        server: a value, or a list of them; empty where it is empty or NULL.
        port: of those without one; empty where there is none.
    """

    server: bytes
    port: str


class Statement(NamedTuple):
    """What is asked.

    Attributes:
        clause: with the parameter `key`.
        has_user: whether the first column of a row is the user's; server and port come behind it.
    """

    clause: TextClause
    has_user: bool

    def read(self, row: Sequence[Any], key: str) -> Row | None:
        """Read a row; None where it is not the one of key.

        Blanks at the end are cut off: columns of the type char have them.
        """
        if self.has_user:
            # MySQL compares numbers with text as numbers: for it, "7x" is 7.
            if isinstance(row[0], numbers.Number) and str(row[0]) != key:
                return None
            row = row[1:]
        return Row(octets(row[0]), decode(octets(row[1])) if len(row) > 1 else "")


def of_table(table: Table, write: Write, write_user: Write | None = None) -> Statement:
    """Ask for the row of a user in a table.

    Args:
        table: its name and those of its columns.
        write: writes a plain name as the database wants it.
        write_user: the same for the name of the user's column, plain or not.
    """
    pieces = table.name.split(".")
    source, prefix = table.name, ""
    if all(map(PLAIN.fullmatch, pieces)):
        # With the table before it, no name is taken for a function or for text in quotes.
        source = ".".join(map(write, pieces))
        prefix = f"{source}."

    def column(name: str) -> str:
        return f"{prefix}{write(name)}" if PLAIN.fullmatch(name) else name

    user = f"{prefix}{write_user(table.user)}" if write_user else column(table.user)
    # What is written in SQL, as a condition before the column may be, says nothing of the key.
    has_user = write_user is not None or COLUMN.fullmatch(table.user) is not None
    wanted = [column(table.server), *([column(table.port)] if table.port else [])]
    if has_user:
        wanted.insert(0, user)
    text = f"SELECT {', '.join(wanted)} FROM {source} WHERE {user} = :key"  # noqa: S608
    return Statement(sqlalchemy.text(text), has_user=has_user)


def of_query(query: str) -> Statement:
    """Ask what the operator has written: the first column is the server, the second one the port.

    Raises:
        MapFailed: it has another parameter than `key`, or not that one.
    """
    clause = sqlalchemy.text(query)
    parameters = set(clause.compile().params)
    if parameters != {"key"}:
        found = ", ".join(f":{each}" for each in sorted(parameters)) or "none"
        raise MapFailed(f"map_library_opt: the parameter of the query is :key; there is {found}")
    return Statement(clause, has_user=False)


def octets(value: object) -> bytes:
    """What a column holds, without blanks at its end; nothing for NULL."""
    if value is None:
        return b""
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).rstrip(b" ")
    return encode(str(value)).rstrip(b" ")
