"""What all maps in files share: a file that changes is read again, a broken one is not used."""

import os
import threading
from pathlib import Path
from typing import ClassVar, Protocol

from perdition.maps import MapFailed, MapSettings, Query


class BrokenFile(Exception):
    """The file is not what it should be; the text says why."""


class BeingWritten(Exception):
    """Somebody is writing the file at this moment."""


class Content(Protocol):
    """What a file holds, independent of what happens to the file from now on."""

    def lookup(self, key: bytes, /) -> bytes | None:
        """The value of a key, None where there is none.

        Raises:
            BrokenFile: the file is damaged.
        """

    def close(self) -> None:
        """Let go of it."""


class FileMap:
    """A map in a file. A subclass says how it is read.

    Each look-up looks whether there is another file than the one that was read, and reads that.
    While that is half written, is broken or is gone, what was read before stays in use. The lock
    lets one thread look up at a time.

    Where nobody has named a file and the default one is not there, there is no map: sites that have
    one real server only were never asked for it.

    Attributes:
        DEFAULT: the file where the option names none.
    """

    DEFAULT: ClassVar[str]
    by_key_alone = True

    def __init__(self, option: str, settings: MapSettings) -> None:
        """Use the file named by option; that it is missing is noticed at a look-up.

        Args:
            option: `map_library_opt`.
            settings: of these, `tell` is told why a file that has changed is not read.
        """
        self.path = Path(option or self.DEFAULT)
        self._name = str(self.path)
        self._is_named = bool(option)
        self._tell = settings.tell
        self._lock = threading.Lock()
        self._content: Content | None = None
        self._stamp: tuple[int, ...] = ()
        self._trouble = ""
        self._is_missing = False

    def read(self) -> Content:
        """What the file holds now.

        Raises:
            OSError: it cannot be read.
            BrokenFile: it is not what it should be.
            BeingWritten: somebody is writing it.
        """
        raise NotImplementedError

    def lookup(self, query: Query, /) -> bytes | None:
        """The value of a key.

        Raises:
            MapFailed: the file cannot be read and never could, or it is damaged.
        """
        with self._lock:
            content = self._refresh()
            if content is None:
                if self._is_missing and not self._is_named:
                    return None
                raise MapFailed(self._trouble)
            try:
                return content.lookup(query.key)
            except BrokenFile as error:
                raise MapFailed(f"{self._name}: {error}") from error

    def load(self) -> None:
        """Read the file now, and not at the first look-up.

        Raises:
            MapFailed: it cannot be used.
        """
        with self._lock:
            if self._refresh() is None:
                raise MapFailed(self._trouble)

    def close(self) -> None:
        with self._lock:
            self._stamp = ()
            if self._content is not None:
                self._content.close()
                self._content = None

    def _refresh(self) -> Content | None:
        """What the file holds, read again if it is not the one that was looked at last."""
        before = self._stamp
        self._is_missing = False
        try:
            status = os.stat(self._name)  # noqa: PTH116 - at each look-up, and half as long
            self._stamp = (status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size)
            if self._stamp == before:
                return self._content
            content = self.read()
        except BeingWritten:
            self._stamp = ()
            if self._content is None:
                self._trouble = f"{self._name}: is being written"
        except OSError as error:
            self._stamp = ()
            self._is_missing = isinstance(error, FileNotFoundError)
            self._report(error.strerror or str(error))
        except BrokenFile as error:
            self._report(str(error))
        else:
            if self._content is not None:
                self._content.close()
            self._content, self._trouble = content, ""
        return self._content

    def _report(self, reason: str) -> None:
        trouble = f"{self._name}{'' if reason.startswith(':') else ': '}{reason}"
        if self._content is not None and trouble != self._trouble:
            self._tell(f"{trouble}: what it held before stays in use")
        self._trouble = trouble
