"""A program such as the daemon map asks (reference: maps.md section 9).

As a program of its own it answers from a popmap on standard input, for its arguments are a socket:
``python tests/support/lookup_daemon.py /run/perdition.db < popmap``.
"""

import contextlib
import os
import socket
import struct
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, Self

HEADER = struct.Struct(">IHHHH4s4s2s2s")
MAGIC, VERSION, RESPONSE, STRING_REQUEST = 0x07070707, 1, 2, 3
LARGEST = 65_000


class Request(NamedTuple):
    """A query taken apart.

    Attributes:
        octets: all of it.
        key: what is looked up.
        delimiter: between user and host.
        client, local: the ends of the connection, as they stand there.
    """

    octets: bytes
    key: bytes
    delimiter: bytes
    client: tuple[bytes, bytes]
    local: tuple[bytes, bytes]


def read(octets: bytes) -> Request:
    """Take a query apart."""
    magic, version, flags, length, _, client, local, client_port, local_port = HEADER.unpack_from(
        octets
    )
    assert (magic, version, length) == (MAGIC, VERSION, len(octets))
    strings = list(split(octets[HEADER.size :]))
    if flags == STRING_REQUEST:
        key, delimiter, client, client_port, local, local_port = strings
    else:
        key, delimiter = strings
    return Request(octets, key, delimiter, (client, client_port), (local, local_port))


def split(octets: bytes) -> Iterator[bytes]:
    """Strings with their lengths before them."""
    while octets:
        size = 2 + int.from_bytes(octets[:2], "big")
        yield octets[2:size]
        octets = octets[size:]


def join(*strings: bytes) -> bytes:
    """Put lengths before strings."""
    return b"".join(len(each).to_bytes(2, "big") + each for each in strings)


def response(
    body: bytes,
    *,
    magic: int = MAGIC,
    version: int = VERSION,
    flags: int = RESPONSE,
    length: int | None = None,
) -> bytes:
    """An answer, or what is none."""
    size = HEADER.size + len(body) if length is None else length
    return struct.pack(">IHHH14x", magic, version, flags, size) + body


# What to send, in order, to whoever has asked.
Answers = Callable[[Request], list[bytes]]


class LookupDaemon:
    """Such a program, in a thread.

    Attributes:
        requests: what it was asked.
    """

    def __init__(self, path: Path | str, answers: Answers) -> None:
        self._path = str(path)
        self._answers = answers
        self.requests: list[Request] = []
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Self:
        self._sock.bind(self._path)
        # The proxy's workers do not run as root.
        Path(self._path).chmod(0o666)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._sock.shutdown(socket.SHUT_RD)
        self._thread.join()
        self._sock.close()
        Path(self._path).unlink(missing_ok=True)

    def _serve(self) -> None:
        while True:
            octets, asker = self._sock.recvfrom(LARGEST)
            if not octets:
                return
            request = read(octets)
            self.requests.append(request)
            for each in self._answers(request):
                # Who has waited too long is gone.
                with contextlib.suppress(OSError):
                    self._sock.sendto(each, asker)


def main(path: str) -> None:
    """Answer from the popmap on standard input until it is stopped."""
    lines = (line.rstrip(b"\n").partition(b":") for line in sys.stdin.buffer)
    servers = {key: value for key, _colon, value in lines}
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)  # noqa: PTH108
    with LookupDaemon(path, lambda asked: [response(join(b"", servers.get(asked.key, b""), b""))]):
        threading.Event().wait()


if __name__ == "__main__":
    main(sys.argv[1])
