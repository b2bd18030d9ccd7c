"""The pid file (reference: process.md section 6)."""

import contextlib
import errno
import fcntl
import os
import time
from pathlib import Path

from perdition.logs import Log
from perdition.server.privileges import Ids

MODE = 0o660
DIRECTORY_MODE = 0o770
# How often a file may be made and removed by others while we try to take it.
TRIES = 3
# Longer than any number of a process.
MOST_OCTETS = 1024
# How long one that has made the file may take to write into it.
WRITE_SECONDS = 0.1


class PidFileFailed(Exception):
    """The pid file cannot be written, or somebody else's is there; the text says which and why.

    Attributes:
        log_line: the original's line about it.
    """

    def __init__(self, text: str, log_line: str) -> None:
        super().__init__(text)
        self.log_line = log_line


class PidFile:
    """A file with our process id; taken before detaching, so that a second start can be told."""

    def __init__(self, path: str, owner: Ids | None, log: Log) -> None:
        """Take the file.

        Args:
            path: where; empty for none.
            owner: whose it will be; None leaves it ours.
            log: told about a stale file.

        Raises:
            PidFileFailed: another process runs, or it cannot be written.
        """
        self._path = Path(path) if path else None
        self._owner = owner
        self._log = log
        if self._path is None:
            return
        try:
            self._make_directory(self._path.parent)
            self._take(self._path)
        except OSError as error:
            raise PidFileFailed(
                f"pid_file {path}: {error.strerror}", "Could not write pid file"
            ) from error

    def _make_directory(self, directory: Path) -> None:
        if not directory.is_dir():
            directory.mkdir(DIRECTORY_MODE)
            if self._owner is not None:
                os.chown(directory, self._owner.uid, self._owner.gid)

    def _take(self, path: Path) -> None:
        for _ in range(TRIES):
            try:
                descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, MODE)
            except FileExistsError:
                # It may be gone meanwhile, by who has made it or by another start.
                with contextlib.suppress(FileNotFoundError):
                    self._clear(path)
                continue
            try:
                _write(descriptor)
                os.fchmod(descriptor, MODE)
                if self._owner is not None:
                    os.fchown(descriptor, self._owner.uid, self._owner.gid)
            except BaseException:
                # Without a number in it, nobody could start any more.
                path.unlink()
                raise
            finally:
                os.close(descriptor)
            return
        raise FileExistsError(0, "made anew by another process")

    def _clear(self, path: Path) -> None:
        """Remove a file whose process is gone.

        Of two that start at the same time, neither may remove what the other has just made.

        Raises:
            PidFileFailed: its process runs, it has no process id, or the other one looks at it.
        """
        # Of a pipe, nobody may have the other end.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise PidFileFailed(
                    f"pid_file {path}: another start is under way", "Could not write pid file"
                ) from error
            for _ in range(TRIES):
                text = os.pread(file.fileno(), MOST_OCTETS, 0) if file.seekable() else b""
                if text:
                    break
                # It may have been made this moment.
                time.sleep(WRITE_SECONDS)
            self._check(path, text.decode("ascii", "replace").strip())
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                path.unlink()
                self._log.info(f"Removed stale pid-file [{path}]")

    def _check(self, path: Path, text: str) -> None:
        """See that a file says the number of a process that is gone.

        Raises:
            PidFileFailed: it does not.
        """
        if not text.isdigit() or not text.strip("0"):
            raise PidFileFailed(
                f"pid_file {path}: there is a file without a process id in it: remove it if "
                "nothing is running",
                "Could not write pid file",
            )
        if _is_anothers(text):
            raise PidFileFailed(
                f"pid_file {path}: process {text} is running already: stop it first, or remove "
                "the file if that is another program",
                f"Fatal error: Pid file [{path}] exists for process [{text}] which appears to be "
                "running, exiting",
            )

    def write(self) -> None:
        """Put the process id of today into it: after detaching."""
        if self._path is not None:
            # Its directory may be others': what they put in its place is not to be written.
            descriptor = os.open(self._path, os.O_WRONLY | os.O_NOFOLLOW)
            try:
                _write(descriptor)
            finally:
                os.close(descriptor)

    def remove(self) -> None:
        """Remove it; said in the log where that fails."""
        if self._path is None:
            return
        try:
            self._path.unlink()
        except OSError as error:
            self._log.info(f"Could not remove pid file [{self._path}]: {error.strerror}")
        self._path = None


def _write(descriptor: int) -> None:
    """Put our number into a file; what it held stays there where there is no room."""
    number = str(os.getpid()).encode()
    if os.write(descriptor, number) < len(number):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    os.ftruncate(descriptor, len(number))


def _is_anothers(number: str) -> bool:
    """Whether another process than this one has that number.

    In a container the program has the same number at each start: what was killed has left it.
    """
    try:
        process = int(number)
        os.kill(process, 0)
    except PermissionError:
        return True
    except (ProcessLookupError, OverflowError, ValueError):
        # No process has a number as long as the last two complain of.
        return False
    return process != os.getpid()
