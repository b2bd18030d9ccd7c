"""Octets from one socket to another inside the kernel, without a copy of them here (splice(2))."""

import contextlib
import fcntl
import os

from perdition.relay.pipe import LARGE

# There is no name for them before Python 3.15: SPLICE_F_MOVE, SPLICE_F_NONBLOCK.
FLAGS = 0x01 | 0x02
# Octets may lie in many pages, of which a pipe has room for a number.
PIPE_SIZE = 4 * LARGE


class Splice:
    """A pipe of the system that octets go through; between two calls there are none in it."""

    def __init__(self) -> None:
        self._out, self._in = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        # A limit of the system's: then less goes through at a time.
        with contextlib.suppress(OSError):
            fcntl.fcntl(self._in, fcntl.F_SETPIPE_SZ, PIPE_SIZE)

    def move(self, source: int, sink: int) -> tuple[int, bytes]:
        """Move what there is from one socket to the other.

        Args:
            source: the descriptor of a socket that does not block.
            sink: the same.

        Returns:
            How many octets came, 0 where the source has ended; and those of them that the sink
            did not take.

        Raises:
            BlockingIOError: nothing has come.
            OSError: one of them is broken.
        """
        count = left = os.splice(source, self._in, LARGE, flags=FLAGS)
        rest = b""
        try:
            with contextlib.suppress(BlockingIOError):
                while left:
                    left -= os.splice(self._out, sink, left, flags=FLAGS)
        finally:
            # Whatever happens, nothing stays in the pipe: the next octets are another session's.
            while left:
                piece = os.read(self._out, left)
                rest += piece
                left -= len(piece)
        return count, rest

    def close(self) -> None:
        """Let go of the pipe."""
        os.close(self._in)
        os.close(self._out)
