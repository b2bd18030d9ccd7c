"""The pass phrase of an encrypted key: from a file, a descriptor, or whoever sits there."""

import os
import sys
import termios
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from perdition.config.options import Options

PASSPHRASE_LIMIT = 1023


def read(options: "Options", *, may_ask: bool = True) -> bytes:
    """Read the pass phrase from where the options say; b"" where there is none.

    Args:
        options: the options in force.
        may_ask: whether ssl_passphrase_fd may be read.

    Raises:
        OSError: ssl_passphrase_file cannot be read.
    """
    if options.ssl_passphrase_file:
        with Path(options.ssl_passphrase_file).open("rb", buffering=0) as file:
            return first_line(file.fileno())
    if not may_ask:
        return b""
    try:
        return prompt(options.ssl_passphrase_fd, options.ssl_key_file)
    except OSError:
        return b""


def prompt(descriptor: int, key_file: str) -> bytes:
    """Read it from a descriptor; on a terminal, ask for it and show nothing of it."""
    if not os.isatty(descriptor):
        return first_line(descriptor)
    before = termios.tcgetattr(descriptor)
    silent = [*before]
    silent[3] &= ~termios.ECHO
    termios.tcsetattr(descriptor, termios.TCSAFLUSH, silent)
    try:
        sys.stderr.write(f"Passphrase for {key_file}: ")
        sys.stderr.flush()
        return first_line(descriptor)
    finally:
        termios.tcsetattr(descriptor, termios.TCSAFLUSH, before)
        sys.stderr.write("\n")


def first_line(descriptor: int) -> bytes:
    """Read up to the end of a line, and no further where the other side keeps it open."""
    data = b""
    while b"\n" not in data and (chunk := os.read(descriptor, PASSPHRASE_LIMIT - len(data))):
        data += chunk
    return data.partition(b"\n")[0].partition(b"\r")[0]
