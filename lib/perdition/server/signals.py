"""Signals as something to read: a handler does nothing, the loop acts."""

import os
import select
import signal
from collections.abc import Iterable


class Signals:
    """Waits for signals and for descriptors, in one call."""

    def __init__(self, handled: Iterable[int], ignored: Iterable[int] = ()) -> None:
        """Handle some signals from now on, and ignore others."""
        self._read, self._write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        for number in handled:
            signal.signal(number, lambda _number, _frame: None)
        for number in ignored:
            signal.signal(number, signal.SIG_IGN)

    def wait(
        self, descriptors: Iterable[int] = (), seconds: float | None = None
    ) -> tuple[list[int], list[int]]:
        """Wait for a signal, or for one of the descriptors to be readable.

        Returns:
            The signals that have come, and the descriptors that are readable.
        """
        poll = select.poll()
        for each in (self._read, *descriptors):
            poll.register(each, select.POLLIN)
        ready = [fd for fd, _ in poll.poll(None if seconds is None else seconds * 1000)]
        if self._read not in ready:
            return [], ready
        ready.remove(self._read)
        return list(os.read(self._read, 4096)), ready

    def close(self) -> None:
        """Let go: in a forked child, before it makes its own."""
        signal.set_wakeup_fd(-1)
        os.close(self._read)
        os.close(self._write)
