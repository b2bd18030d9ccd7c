"""daemon: a program that is asked over a socket (reference: maps.md section 9).

A query is a datagram to the program's AF_UNIX socket, and its answer is another one: a header, and
strings with their lengths before them. Nothing in an answer says what it is the answer to.
"""

import contextlib
import math
import os
import re
import secrets
import socket
import struct
import sys
import threading
import time
from collections.abc import Iterator

from perdition.maps import Answer, MapFailed, MapSettings, Query, check_item
from perdition.net import ServerItem
from perdition.protocols import decode, encode

# magic, version, flags, length; cs_type, client, local, client port, local port.
HEADER = struct.Struct(">IHHHHIIHH")
MAGIC, VERSION = 0x07070707, 1
REQUEST, RESPONSE, STRING_REQUEST = 1, 2, 3
LARGEST = 65_000
STRINGS = 3
OPTION = re.compile(r"([^:]*)(?::(\d{0,9}))?(?::(\d{0,9}))?:?")
LONGEST_PATH = 107
# Seconds: the least for a socket, and the most that a wait is doubled to.
SHORTEST_WAIT, LONGEST_WAIT = 0.001, 3600
# Names of our sockets begin like that, as in 2.2. One without a file would do for most programs,
# but not for those that take an address for a string.
OURS = "/tmp/perdition-map-"  # noqa: S108 - with a part that nobody can guess


class Unanswered(Exception):
    """The program was not there or did not answer; the text says which."""


class Daemon:
    """A program that finds real servers.

    A query has a socket of its own, as in 2.2: an answer that comes too late finds nobody. The
    socket is connected to the program's, so that the kernel takes datagrams from no one else; for
    the same reason all users may send to it.
    """

    by_key_alone = False

    def __init__(self, option: str, settings: MapSettings) -> None:
        """Take the option apart.

        Args:
            option: `map_library_opt`: ``SOCKET[:TIMEOUT[:RETRIES]]``, by default
                ``/var/run/perdition.db:1:5``; seconds, and how often it is asked in all.
            settings: of these, delimiter, time-out and connections count.

        Raises:
            MapFailed: it cannot be taken apart.
        """
        found = OPTION.fullmatch(option)
        if not found:
            raise MapFailed(f"map daemon: {option}: has to be SOCKET[:TIMEOUT[:RETRIES]]")
        self._path = found[1] or "/var/run/perdition.db"
        self._wait, self._attempts = int(found[2] or 1), int(found[3] or 5)
        if not self._wait or not self._attempts:
            raise MapFailed(f"map daemon: {option}: TIMEOUT and RETRIES have to be 1 or more")
        if self._path.endswith("/") or len(os.fsencode(self._path)) > LONGEST_PATH:
            raise MapFailed(f"map daemon: {self._path}: cannot be the name of a socket")
        self._delimiter = encode(settings.delimiter)
        self._timeout = settings.timeout
        self._connections = settings.connections
        self._free = threading.BoundedSemaphore(settings.connections)
        # Whether the last query was given up: then the next one is not repeated.
        self._is_out_of_order = False

    def lookup(self, query: Query, /) -> Answer | None:
        """What the program says; an answer of empty strings is the default server.

        Returns:
            None where the key is longer than a datagram may be.

        Raises:
            MapFailed: it does not answer, or with nonsense.
        """
        packet = request(query, self._delimiter)
        if packet is None:
            return None
        try:
            item = read_response(self._ask(packet))
        except MapFailed as error:
            raise MapFailed(f"{self._path}: {error}") from error
        return Answer([item])

    def close(self) -> None:
        return

    def _ask(self, packet: bytes) -> bytes:
        """Ask until there is an answer, waiting twice as long each time.

        Raises:
            MapFailed: there is none.
        """
        begin = time.monotonic()
        end = begin + self._timeout if self._timeout else math.inf
        attempts = 1 if self._is_out_of_order else self._attempts
        for number in range(attempts):
            with self._connection(end):
                wait = min(self._wait << min(number, 16), LONGEST_WAIT)
                until = min(time.monotonic() + wait, end)
                try:
                    answer = ask_once(self._path, packet, until)
                except Unanswered as error:
                    reason = str(error)
                else:
                    self._is_out_of_order = False
                    return answer
            if until == end or number + 1 == attempts:
                break
            # Who was not there may be there then.
            time.sleep(max(0.0, until - time.monotonic()))
        self._is_out_of_order = True
        raise MapFailed(f"{reason}: given up after {time.monotonic() - begin:.1f} s")

    @contextlib.contextmanager
    def _connection(self, end: float) -> Iterator[None]:
        """One of the connections that there may be.

        Raises:
            MapFailed: none is free before that moment.
        """
        if not self._free.acquire(timeout=min(end - time.monotonic(), threading.TIMEOUT_MAX)):
            raise MapFailed(f"all {self._connections} connections (map_connections) are in use")
        try:
            yield
        finally:
            self._free.release()


def ask_once(path: str, packet: bytes, until: float) -> bytes:
    """Send a query, and wait for what comes.

    Args:
        path: of the program's socket.
        packet: the query.
        until: the moment at which to give up.

    Raises:
        Unanswered: nothing came.
    """
    try:
        with connected(path) as sock:
            sock.settimeout(max(SHORTEST_WAIT, until - time.monotonic()))
            sock.send(packet)
            sock.settimeout(max(SHORTEST_WAIT, until - time.monotonic()))
            return sock.recv(LARGEST + 1)
    except TimeoutError as error:
        raise Unanswered("no answer") from error
    except OSError as error:
        raise Unanswered(error.strerror or str(error)) from error


@contextlib.contextmanager
def connected(path: str) -> Iterator[socket.socket]:
    """A socket with a name, for the program to answer to, that hears it alone.

    Args:
        path: of the program's socket.

    Raises:
        OSError: the program is not there, or there can be no such socket.
    """
    name = OURS + secrets.token_hex(8)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.connect(path)
        sock.bind(name)
        try:
            # The program may be anybody.
            os.chmod(name, 0o666)  # noqa: PTH101, S103 - a log-in waits for it
            yield sock
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name)  # noqa: PTH108 - a log-in waits for it


def request(query: Query, delimiter: bytes) -> bytes | None:
    """The datagram of a query, None where it would be too long.

    Addresses other than of IPv4 go as text, behind the key.
    """
    ends = query.ends
    strings = [query.key, delimiter]
    if ":" in ends.client or ":" in ends.local:
        flags, numbers = STRING_REQUEST, (0, 0, 0, 0)
        for address, port in ((ends.client, ends.client_port), (ends.local, ends.local_port)):
            strings += [encode(address), b"%d" % port]
    else:
        flags = REQUEST
        numbers = (
            swapped(address_octets(ends.client)),
            swapped(address_octets(ends.local)),
            swapped(ends.client_port.to_bytes(2)),
            swapped(ends.local_port.to_bytes(2)),
        )
    length = HEADER.size + sum(2 + len(each) for each in strings)
    if length > LARGEST:
        return None
    header = HEADER.pack(MAGIC, VERSION, flags, length, 0, *numbers)
    return header + b"".join(len(each).to_bytes(2) + each for each in strings)


def address_octets(address: str) -> bytes:
    """The octets of an IPv4 address; zeros where there is none."""
    return socket.inet_aton(address) if address else bytes(4)


def swapped(octets: bytes) -> int:
    """A number in network order, for a header in network order, as 2.2 takes it.

    That converts it once more: on little-endian hosts 127.0.0.1 goes as ``01 00 00 7f``. The
    programs that are asked know it so.
    """
    return int.from_bytes(octets, sys.byteorder)


def read_response(packet: bytes) -> ServerItem:
    """The real server that an answer names.

    What follows the length that it says it has is left out, as in 2.2.

    Raises:
        MapFailed: it is no answer.
    """
    if len(packet) < HEADER.size:
        raise MapFailed("an answer shorter than its header")
    magic, version, flags, length, *_ = HEADER.unpack_from(packet)
    if (magic, version, flags) != (MAGIC, VERSION, RESPONSE):
        raise MapFailed("no answer of version 1")
    if length > len(packet):
        raise MapFailed("an answer shorter than it says")
    strings = read_strings(packet[HEADER.size : length])
    if len(strings) != STRINGS:
        raise MapFailed(f"an answer of {len(strings)} strings: it has to be user, server, port")
    user, host, port = (decode(each) for each in strings)
    item = ServerItem(user, host, port)
    check_item(item, str(item))
    return item


def read_strings(octets: bytes) -> list[bytes]:
    """Strings with their lengths before them.

    Raises:
        MapFailed: the last one is not whole.
    """
    found = []
    while octets:
        size = 2 + int.from_bytes(octets[:2])
        if size > len(octets):
            raise MapFailed("an answer with a string longer than itself")
        found.append(octets[2:size])
        octets = octets[size:]
    return found
