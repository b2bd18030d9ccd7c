"""What all maps in files share: a file that changes is read again, a broken one is not used."""

import abc
import errno
import mmap
import os
import shutil
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, ClassVar, NamedTuple, Protocol

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

    def is_empty(self) -> bool:
        """Whether there is no key at all.

        Raises:
            BrokenFile: the file is damaged.
        """

    def close(self) -> None:
        """Let go of it."""


class Database(Protocol):
    """A file of keys and values that a library has open."""

    def fetch(self, key: bytes) -> bytes | None:
        """The value of a key, None where there is none."""

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """All keys and their values."""

    def close(self) -> None:
        """Close it."""


class Copy:
    """A copy of a database, in memory."""

    def __init__(self, database: Database, failure: type[Exception]) -> None:
        """Take the copy over.

        Args:
            database: the copy.
            failure: what its library raises where it is damaged.
        """
        self._database = database
        self._failure = failure

    def lookup(self, key: bytes, /) -> bytes | None:
        """The value of a key, None where there is none.

        It ends at the first NUL, as in 2.2: C programs put one there, and 2.2's own makegdbm and
        makebdb leftovers behind it, where the last line that they read has no newline.

        Raises:
            BrokenFile: the file is damaged.
        """
        try:
            value = self._database.fetch(key)
        except self._failure as error:
            raise BrokenFile(str(error)) from error
        return None if value is None else value.partition(b"\0")[0]

    def is_empty(self) -> bool:
        try:
            return next(self._database.items(), None) is None
        except self._failure as error:
            raise BrokenFile(str(error)) from error

    def close(self) -> None:
        self._database.close()


class Stamp(NamedTuple):
    """What tells one content of a file from another.

    Attributes:
        place: file system and inode.
        changed, touched: when it was written last, and anything of it, in nanoseconds.
        size: its octets.
        settling: whether it was written so little ago that it may change without changing these.
    """

    place: tuple[int, int]
    changed: int
    touched: int
    size: int
    settling: bool


class FileMap(abc.ABC):
    """A map in a file. A subclass says how it is read.

    Each look-up looks whether there is another file than the one that was read, and reads that; one
    that is written anew in its place is read when nobody has written for a moment. While it is half
    written, is broken or is gone, what was read before stays in use. So it does where the new one
    has no entries: that is what a tool makes that is given none, or waits for them. The lock lets
    one thread look up at a time.

    Where nobody has named a file and the default one is not there, there is no map: sites that have
    one real server only were never asked for it.

    Attributes:
        DEFAULT: the file where the option names none.
        SETTLING: nanoseconds for which a file that has changed may change again without another
            time of change, and in which whoever writes it has probably not finished: the clock of
            most file systems ticks every 4 or 10 ms.
    """

    DEFAULT: ClassVar[str]
    SETTLING: ClassVar[int] = 50_000_000
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
        self._stamp: Stamp | None = None
        self._trouble = ""
        self._is_missing = False
        # Reasons told since it was in order.
        self._told: set[str] = set()
        # Of the master and all workers: whether one of them has seen entries.
        self._had_entries = mmap.mmap(-1, 1)
        self._is_beginning = False

    @abc.abstractmethod
    def read(self) -> Content:
        """What the file holds now.

        Raises:
            OSError: it cannot be read.
            BrokenFile: it is not what it should be.
            BeingWritten: somebody is writing it.
        """

    def lookup(self, query: Query, /) -> bytes | None:
        """The value of a key.

        Raises:
            MapFailed: the file cannot be read and never could, or it is damaged.
        """
        with self._lock:
            content = self._usable()
            if content is None:
                return None
            try:
                return content.lookup(query.key)
            except BrokenFile as error:
                raise MapFailed(f"{self._name}: {error}") from error

    def check(self) -> None:
        """Read the file now, where there is one or has to be.

        Raises:
            MapFailed: it cannot be used.
        """
        with self._lock:
            self._usable()

    def begin(self) -> None:
        """Read the file in a worker that begins, if it can be read.

        Where it cannot be used, what the master has read does not serve: others may have used one
        between.
        """
        with self._lock:
            self._is_beginning = True
            self._refresh()
            self._is_beginning = False

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
            self._stamp = None
            if self._content is not None:
                self._content.close()
                self._content = None

    def _usable(self) -> Content | None:
        """What the file holds; None where nobody has named one, and the default one is not there.

        Raises:
            MapFailed: the file cannot be read and never could.
        """
        content = self._refresh()
        if content is None and (self._is_named or not self._is_missing):
            raise MapFailed(self._trouble)
        return content

    def _refresh(self) -> Content | None:
        """What the file holds, read again if it is not the one that was looked at last."""
        self._is_missing = False
        try:
            stamp = stamp_of(self._name, self.SETTLING)
            if stamp == self._stamp:
                return self._content
            if self._is_being_rewritten(stamp):
                self._drop_inherited()
                return self._content
            self._stamp = stamp
            content = self.read()
            if self._content is not None and stamp_of(self._name, 0)[:-1] != stamp[:-1]:
                # It changed meanwhile: who knows what was read.
                content.close()
                raise BeingWritten
            self._check_entries(content)
        except BeingWritten:
            self._stamp = None
            if self._content is None:
                self._trouble = f"{self._name}: is being written"
        except OSError as error:
            self._stamp = None
            self._is_missing = isinstance(error, FileNotFoundError)
            self._report(error.strerror or str(error))
        except BrokenFile as error:
            self._drop_inherited()
            self._report(str(error))
        else:
            if self._content is not None:
                self._content.close()
            self._content, self._trouble = content, ""
            self._told.clear()
        return self._content

    def _drop_inherited(self) -> None:
        """Let go of what the master has read, in a worker that begins with another file there."""
        if self._is_beginning and self._content is not None:
            self._content.close()
            self._content, self._stamp = None, None

    def _check_entries(self, content: Content) -> None:
        """Have a file without entries not take the place of one with some.

        Raises:
            BrokenFile: it would.
        """
        try:
            is_empty = content.is_empty()
            if is_empty and self._had_entries[0]:
                raise BrokenFile("has no entries")
        except BrokenFile:
            content.close()
            raise
        self._had_entries[0] |= not is_empty

    def _is_being_rewritten(self, stamp: Stamp) -> bool:
        """Whether the file that is in use is written anew, in its place, at this moment."""
        return (
            stamp.settling
            and self._content is not None
            and self._stamp is not None
            and stamp.place == self._stamp.place
        )

    def _report(self, reason: str) -> None:
        trouble = f"{self._name}{'' if reason.startswith(':') else ': '}{reason}"
        if self._content is not None and trouble not in self._told:
            self._told.add(trouble)
            self._tell(f"{trouble}: what it held before stays in use")
        self._trouble = trouble


def stamp_of(name: str, settling: int) -> Stamp:
    """What a file is known by now.

    Args:
        name: of the file.
        settling: nanoseconds after its last change in which it may change again unnoticed.

    Raises:
        OSError: it is not there, or out of reach, or something else than a file.
    """
    status = os.stat(name)  # noqa: PTH116 - at each look-up, and half as long
    if not stat.S_ISREG(status.st_mode) and not stat.S_ISDIR(status.st_mode):
        # Reading it might never end.
        raise OSError(errno.EINVAL, "not a file")
    changed = status.st_mtime_ns
    return Stamp(
        (status.st_dev, status.st_ino),
        changed,
        status.st_ctime_ns,
        status.st_size,
        0 <= time.time_ns() - changed < settling,
    )


def in_memory(file: BinaryIO) -> BinaryIO:
    """A copy of an open file that has a descriptor, and that nobody else can change."""
    memory = os.fdopen(os.memfd_create("perdition-map"), "w+b")
    try:
        shutil.copyfileobj(file, memory)
        memory.seek(0)
    except BaseException:
        memory.close()
        raise
    return memory
