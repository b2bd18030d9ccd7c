"""Becoming a daemon, and letting whoever started it know that it serves."""

import contextlib
import os
import signal
from collections.abc import Iterable

import daemon


class Launcher:
    """The process that was started: it stays until the daemon serves.

    Whoever started it then finds the daemon's number in the pid file, and what is said by its
    status is true.
    """

    def __init__(self) -> None:
        self._descriptor: int | None = None

    def detach(self, keep: Iterable[object], success: int, failure: int, complaint: str) -> None:
        """Become a daemon; only that one returns.

        Args:
            keep: files and descriptors that stay open.
            success: the launcher's status where `release` was called.
            failure: its status where the daemon has ended before.
            complaint: what it says then, on standard error.
        """
        serving, self._descriptor = os.pipe2(os.O_CLOEXEC)
        if os.fork():
            os.close(self._descriptor)
            # Whoever waits for us may not want to any more.
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, [])
            if os.read(serving, 1):
                os._exit(success)
            with contextlib.suppress(OSError):
                os.write(2, f"{complaint}\n".encode())
            os._exit(failure)
        os.close(serving)
        mask = os.umask(0)
        os.umask(mask)
        context = daemon.DaemonContext(
            files_preserve=[*keep, self._descriptor],
            umask=mask,
            working_directory="/",
            signal_map={},
            detach_process=True,
        )
        context.open()

    def release(self) -> None:
        """Let it end, for the daemon serves."""
        if self._descriptor is not None:
            # It may have been killed.
            with contextlib.suppress(OSError):
                os.write(self._descriptor, b"\0")
        self.forget()

    def forget(self) -> None:
        """Leave it to others: in a forked child."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
