"""A database on one server: its connections, and look-ups within a time."""

import math
import time
from collections.abc import Iterable

from sqlalchemy.engine import Connection, Engine

from perdition.maps import MapSettings
from perdition.maps.sql_engine import is_not_a_key, is_of_the_query, reason
from perdition.maps.sql_statement import Row, Statement
from perdition.threads import Threads

# A database that did not answer is asked after the others for so many seconds.
AVOID_SECONDS = 10


class Unanswered(Exception):
    """The database does not answer, or with an error; the text says which one, and why."""


class Database:
    """A database on one server.

    Connections are made when there is something to look up, and kept: at most `map_connections`.
    Of those that are free, the one used last is the next. Each is used by a thread of its own, so
    that whoever asks can give up waiting: drivers cannot end all their waits, not that for a name
    server, nor for a process that is stopped.

    Attributes:
        name: for messages; nothing in it is secret.
        avoided_until: the moment up to which others are asked first. There is no lock for it: what
            is written last counts.
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
            name: for messages.
            engine: from new_engine.
            statement: what is asked.
            settings: of these, the most connections.
            secrets: what no message may have in it.
        """
        self.name = name
        self.avoided_until = -math.inf
        self._engine = engine
        self._pool = engine.pool
        self._statement = statement
        self._secrets = [each for each in secrets if each]
        self._threads = Threads(settings.connections, "database")
        self._is_closed = False

    def look_up(self, key: str, seconds: float | None) -> Row | None:
        """The row of a key, None where there is none.

        Args:
            key: text without NUL.
            seconds: for everything; None for no limit.

        Raises:
            Unanswered: there is no answer, or it is an error.
        """
        deadline = math.inf if seconds is None else time.monotonic() + seconds
        try:
            found = self._threads.call(lambda: self._fetch(key, deadline), seconds)
        # A driver that is told nonsense raises anything.
        except Exception as error:
            self.avoided_until = time.monotonic() + AVOID_SECONDS
            raise Unanswered(f"{self.name}: {reason(error, self._secrets)}") from error
        self.avoided_until = -math.inf
        return found

    def take_turn(self, now: float) -> None:
        """Be the first one that is asked.

        If it did not answer before, others go on to avoid it until this one look-up has succeeded.
        """
        if self.avoided_until != -math.inf:
            self.avoided_until = now + AVOID_SECONDS

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
