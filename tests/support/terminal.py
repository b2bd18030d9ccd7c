"""A shell with somebody at its terminal, who has begun a line and presses the tabulator."""

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from support.processes import end

SECONDS = 30
# So large that lists need no second page.
ROWS, COLUMNS = 400, 200
# What the shell's start-up file has to set: its prompt, and a key that writes the line between
# these.
PROMPT, SHOW = "what now? ", b"\x14"
OPEN, CLOSE = "\N{WHITE LEFT-POINTING POINTER}", "\N{WHITE RIGHT-POINTING POINTER}"
TAB, CLEAR = b"\t", b"\x15"


class Terminal:
    """The terminal of a shell."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._read_until(re.escape(PROMPT))

    def complete(self, line: str, tabs: int = 1) -> tuple[str, str]:
        """Type the beginning of a line, and the tabulator.

        Returns:
            The line as the shell has it then, and what it has shown meanwhile.
        """
        os.write(self._descriptor, CLEAR + line.encode() + TAB * tabs + SHOW)
        found = self._read_until(rf"{OPEN}(.*?){CLOSE}")
        return found[1], found.string

    def _read_until(self, pattern: str) -> re.Match[str]:
        shown = b""
        stop = time.monotonic() + SECONDS
        while not (found := re.search(pattern, shown.decode("utf-8", "replace"), re.DOTALL)):
            left = max(0, stop - time.monotonic())
            ready, _, _ = select.select([self._descriptor], [], [], left)
            assert ready, f"not within {SECONDS} s: {shown!r}"
            shown += os.read(self._descriptor, 65536)
        return found


@contextlib.contextmanager
def terminal(
    command: Sequence[str], directory: Path, environment: Mapping[str, str]
) -> Iterator[Terminal]:
    """Run an interactive shell in a directory."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(ours, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    try:
        process = subprocess.Popen(
            command,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            cwd=directory,
            env={**environment, "TERM": "dumb", "LC_ALL": "C.UTF-8"},
            start_new_session=True,
        )
        os.close(theirs)
        try:
            yield Terminal(ours)
        finally:
            end(process, signal.SIGKILL)
    finally:
        os.close(ours)
