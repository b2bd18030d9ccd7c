"""What all maps in SQL databases do: ask one after the other, and read the value."""

import time
from collections.abc import Sequence
from typing import ClassVar

from perdition.maps import Found, MapFailed, MapSettings, Query, read_value
from perdition.maps.database import Database, Unanswered
from perdition.maps.sql_statement import Row


class SqlMap:
    """A table in one of several databases, which are asked in order until one answers.

    Attributes:
        NAME: of the map.
        NOTHING: what is found where the column of the server is empty or NULL.
    """

    NAME: ClassVar[str]
    NOTHING: ClassVar[bytes | None] = b""
    by_key_alone = True

    def __init__(self, databases: Sequence[Database], settings: MapSettings) -> None:
        """Use these databases.

        Args:
            databases: at least one.
            settings: of these, the delimiter and the time limit.
        """
        self._databases = databases
        self._delimiter = settings.delimiter
        self._timeout = settings.timeout

    def lookup(self, query: Query, /) -> Found:
        """The value of a key, None where there is none.

        Raises:
            MapFailed: none of the databases answers, or the value is nonsense.
        """
        key = text_of(query.key)
        row = None if key is None else self._ask(key)
        if row is None:
            return None
        if not row.server:
            return self.NOTHING
        try:
            return read_value(row.server, self._delimiter, row.port)
        except MapFailed as error:
            raise MapFailed(f"{self.NAME}: {error}") from error

    def close(self) -> None:
        for each in self._databases:
            each.close()

    def _ask(self, key: str) -> Row | None:
        """What the first database says that answers.

        Each may use its share of the time: as long as the first one is silent, the others are
        asked in time nevertheless.
        """
        end = time.monotonic() + self._timeout
        troubles = []
        databases = in_order(self._databases)
        for others, database in zip(reversed(range(len(databases))), databases, strict=True):
            seconds = None
            if self._timeout:
                seconds = max(0.0, end - time.monotonic()) / (others + 1)
            try:
                return database.look_up(key, seconds)
            except Unanswered as error:
                troubles.append(str(error))
        raise MapFailed("; ".join(troubles))


def in_order(databases: Sequence[Database]) -> Sequence[Database]:
    """The databases in the order in which they are asked: those last that did not answer."""
    now = time.monotonic()
    found = sorted(databases, key=lambda each: each.avoided_until > now)
    found[0].take_turn(now)
    return found


def text_of(key: bytes) -> str | None:
    """A key as text; None where it is none, so that no column has it."""
    try:
        text = key.decode()
    except UnicodeDecodeError:
        return None
    # PostgreSQL has no text with NUL in it.
    return None if "\0" in text else text
