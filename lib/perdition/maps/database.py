"""A database on one server: its connections, and look-ups within a time."""

import math
import time
from collections.abc import Iterable

from sqlalchemy.engine import Connection, Engine

from perdition.maps import MapSettings
from perdition.maps.deadlines import left
from perdition.maps.servers import ServerFailed
from perdition.maps.sql_engine import is_not_a_key, is_of_the_query, reason
from perdition.maps.sql_statement import Row, Statement
from perdition.threads import Threads


class Database:
    """A database on one server; as a text, its name.

    Connections are made when there is something to look up, and kept: at most `map_connections`.
    Of those that are free, the one used last is the next. Each is used by a thread of its own, so
    that whoever asks can give up waiting: drivers cannot end all their waits, not that for a name
    server, nor for a process that is stopped.
    """

    def __init__(
        self,
        name: str,
        engine: Engine,
        statement: Statement,
        settings: MapSettings,
        secrets: Iterable[str] = (),
    ) -> None:
        """Prepare it; no connection is made.

        Args:
            name: for messages; nothing in it is secret.
            engine: from new_engine.
            statement: what is asked.
            settings: of these, the most connections.
            secrets: what no message may have in it.
        """
        self._name = name
        self._engine = engine
        self._pool = engine.pool
        self._statement = statement
        self._secrets = [each for each in secrets if each]
        self._threads = Threads(settings.connections, "database")
        self._is_closed = False

    def __str__(self) -> str:
        return self._name

    def look_up(self, key: str) -> Row | None:
        """The row of a key, None where there is none.

        Args:
            key: text without NUL.

        Raises:
            ServerFailed: there is no answer in time, or it is an error.
        """
        try:
            seconds = left()
            deadline = math.inf if seconds is None else time.monotonic() + seconds
            return self._threads.call(lambda: self._fetch(key, deadline), seconds)
        # A driver that is told nonsense raises anything.
        except Exception as error:
            raise ServerFailed(reason(error, self._secrets)) from error

    def close(self) -> None:
        """Close the connections; one that is in use, as soon as it is not."""
        self._is_closed = True
        self._threads.close()
        self._pool.dispose()

    def _fetch(self, key: str, deadline: float) -> Row | None:
        """What one of the threads does.

        A connection that was kept may be dead by now: then once more, with a new one. All that are
        older than the error are thrown away by SQLAlchemy, for note_error says so.
        """
        try:
            with self._engine.connect() as connection:
                try:
                    return self._read(connection, key)
                except Exception as error:
                    if is_of_the_query(error) or time.monotonic() >= deadline:
                        raise
            with self._engine.connect() as connection:
                return self._read(connection, key)
        except Exception as error:
            if is_not_a_key(error):
                return None
            raise
        finally:
            if self._is_closed:
                self._pool.dispose()

    def _read(self, connection: Connection, key: str) -> Row | None:
        result = connection.execute(self._statement.clause, {"key": key})
        try:
            row = result.fetchone()
            return None if row is None else self._statement.read(row, key)
        finally:
            result.close()
