"""libdb, that is Berkeley DB, as much of it as the bdb map and makebdb need.

Through either of its two bindings, which are the same but for their names: berkeleydb, of PyPI, and
bsddb3, which Debian has.
"""

import functools
import importlib
from collections.abc import Iterator
from typing import Any

BINDINGS = ("berkeleydb.db", "bsddb3.db")


class LibdbError(Exception):
    """The library's reason, as in ``Permission denied``."""


@functools.cache
def library() -> Any:
    """The binding.

    Raises:
        LibdbError: it is not there.
    """
    for name in BINDINGS:
        try:
            return importlib.import_module(name)
        except ImportError as error:
            reason = error
    raise LibdbError(f"{reason}: install Debian's python3-bsddb3 or PyPI's berkeleydb")


class File:
    """An open Berkeley DB file, without an environment, for one thread at a time."""

    def __init__(self, name: str, *, create: bool = False) -> None:
        """Open it.

        Args:
            name: of the file.
            create: make it anew, as a hash; else it is read, and may be a btree as well.

        Raises:
            LibdbError: the library is missing, or the file is none of its.
        """
        db = library()
        self._db = db
        self._file = db.DB()
        kind = db.DB_HASH if create else db.DB_UNKNOWN
        flags = db.DB_CREATE | db.DB_TRUNCATE if create else db.DB_RDONLY
        try:
            self._file.open(name, dbtype=kind, flags=flags)
            if self._file.get_type() not in (db.DB_HASH, db.DB_BTREE):
                raise LibdbError("neither a hash nor a btree")
        except db.DBError as error:
            self._file.close()
            raise self._error(error) from error
        except LibdbError:
            self._file.close()
            raise

    def close(self) -> None:
        """Write what is not written yet, and close.

        Raises:
            LibdbError: it could not be written.
        """
        try:
            self._file.close()
        except self._db.DBError as error:
            raise self._error(error) from error

    def fetch(self, key: bytes) -> bytes | None:
        """The value of a key, None where there is none.

        Raises:
            LibdbError: the file is damaged.
        """
        try:
            value: bytes | None = self._file.get(key)
        except self._db.DBError as error:
            raise self._error(error) from error
        return value

    def insert(self, key: bytes, value: bytes) -> bool:
        """Store a value, unless the key has one already.

        Returns:
            Whether it was stored.

        Raises:
            LibdbError: it could not be.
        """
        try:
            self._file.put(key, value, flags=self._db.DB_NOOVERWRITE)
        except self._db.DBKeyExistError:
            return False
        except self._db.DBError as error:
            raise self._error(error) from error
        return True

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """All keys and their values, in the order of the file.

        Raises:
            LibdbError: the file is damaged.
        """
        try:
            cursor = self._file.cursor()
            try:
                while (entry := cursor.next()) is not None:
                    yield entry
            finally:
                cursor.close()
        except self._db.DBError as error:
            raise self._error(error) from error

    @staticmethod
    def _error(error: Exception) -> LibdbError:
        return LibdbError(reason_of(error))


def verify(name: str) -> None:
    """Look at every page of a file, and whether they fit to each other.

    The order of the keys is left out: where it is wrong the library prints whole pages to standard
    output, and nothing keeps it from that.

    Raises:
        LibdbError: the library is missing, or the file is none of its, or damaged.
    """
    db = library()
    try:
        db.DB().verify(name, flags=db.DB_NOORDERCHK)
    except db.DBError as error:
        raise LibdbError(reason_of(error)) from error


def reason_of(error: Exception) -> str:
    """The reason alone, as in ``(22, 'Invalid argument -- BDB0004 fop_read_meta: ...')``."""
    return str(error.args[-1]).partition(" -- ")[0]
