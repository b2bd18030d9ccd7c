"""A connection to an LDAP server.

libldap writes and reads the messages. The network it does not see: it has one end of a pair of
sockets, and what goes through that is carried to the server and back here. By itself it would wait
without end for a server that falls silent during a TLS handshake (OpenLDAP 2.5 with GnuTLS), look a
host up with as many limits as that has addresses, and connect again on its own account.
"""

import contextlib
import math
import os
import socket
import ssl
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import ldap
from ldap.extop import ExtendedRequest

from perdition import net
from perdition.certificates import matches, names_of
from perdition.maps.ldap_url import Directory, Server

# Where libldap would connect to if it lost the socket that it is given.
NOWHERE = "ldapi://%2Fdev%2Fnull"
# RFC 4511 section 4.14.1
START_TLS = "1.3.6.1.4.1.1466.20037"
# Less than the pair of sockets takes while nobody reads.
PIECE = 1 << 16
# The kinds of messages that say all, and of those that say that there is more.
LAST = {ldap.RES_BIND, ldap.RES_EXTENDED, ldap.RES_SEARCH_RESULT}
MORE = {ldap.RES_SEARCH_ENTRY, ldap.RES_SEARCH_REFERENCE}
# More than one shows that a filter is ambiguous.
MOST_ENTRIES = 2


class Entry(NamedTuple):
    """An entry of the directory.

    Attributes:
        name: its distinguished name.
        attributes: the values of each attribute that was asked for.
    """

    name: str
    attributes: dict[str, list[bytes]]


class Connection:
    """A connection, bound. It is for one thread at a time.

    After any exception but NO_SUCH_OBJECT and INVALID_DN_SYNTAX of `search` it is of no use.

    Attributes:
        server: where it goes to.
    """

    def __init__(self, server: Server, directory: Directory, until: float) -> None:
        """Connect and bind.

        Args:
            server: one of the directory's.
            directory: how.
            until: the moment when that has to be done.

        Raises:
            OSError: it cannot be reached, is silent, or there is no TLS with it.
            net.ConnectFailed: its name is not known.
            ldap.LDAPError: it does not want that.
        """
        self.server = server
        self._directory = directory
        with contextlib.ExitStack() as opened:
            self._stream = opened.enter_context(connect(server, until))
            self._near, self._far = map(opened.enter_context, socket.socketpair())
            self._near.setblocking(False)
            self._ldap = ldap.initialize(NOWHERE, fileno=os.dup(self._far.fileno()))
            opened.callback(self.close)
            self._begin(until)
            opened.pop_all()

    def _begin(self, until: float) -> None:
        directory = self._directory
        self._ldap.set_option(ldap.OPT_REFERRALS, 0)
        self._ldap.protocol_version = directory.version
        if directory.start_tls:
            self._finish(self._ldap.extop(ExtendedRequest(START_TLS, None)), until)
            self._check_nothing_is_left()
        if directory.tls is not None:
            self._start_tls(directory.tls, until)
        self._finish(self._ldap.simple_bind(directory.bind_name, directory.password), until)

    def _check_nothing_is_left(self) -> None:
        """What came before TLS must not be taken for something that came under it."""
        with contextlib.suppress(BlockingIOError):
            self._far.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
            raise OSError("it has said more than it was asked before TLS")

    def _start_tls(self, context: ssl.SSLContext, until: float) -> None:
        host = self.server.host or "localhost"
        self._stream.settimeout(seconds_to(until))
        self._stream = stream = context.wrap_socket(self._stream, server_hostname=host)
        info = stream.getpeercert()
        # It is empty where nobody wants it checked.
        if info and not matches(host, info):
            raise OSError(f"its certificate is for {', '.join(names_of(info))}, not for {host}")

    def close(self) -> None:
        """Say good-bye, without waiting for anything, and close."""
        with contextlib.suppress(OSError, ldap.LDAPError):
            self._ldap.unbind_ext_s()
            self._stream.settimeout(0)
            self._stream.sendall(self._near.recv(PIECE))
        for sock in (self._near, self._far, self._stream):
            sock.close()

    def search(self, base: str, wanted: str, until: float) -> list[Entry]:
        """Look for entries.

        Args:
            base: the name of the entry to start at.
            wanted: the filter.
            until: the moment when the answer has to be there.

        Returns:
            At most MOST_ENTRIES.

        Raises:
            ldap.NO_SUCH_OBJECT: there is no entry `base`.
            ldap.INVALID_DN_SYNTAX: there can be none.
            ldap.LDAPError: the server does not want that, or says nonsense.
            OSError: it is silent or gone.
            UnicodeError: a name in its answer is not UTF-8.
        """
        directory = self._directory
        message = self._ldap.search_ext(
            base, directory.scope, wanted, directory.attributes, sizelimit=MOST_ENTRIES
        )
        found: list[Entry] = []
        with contextlib.suppress(ldap.SIZELIMIT_EXCEEDED):
            for entries in self._results(message, until):
                # References to other servers have no name; they are not followed.
                named = [Entry(*each) for each in entries if each[0] is not None]
                found = [*found, *named][:MOST_ENTRIES]
        return found

    def _finish(self, message: int, until: float) -> None:
        """Wait for the answer to a request that has just one."""
        for _ in self._results(message, until):
            pass

    def _results(self, message: int, until: float) -> Iterator[list[Any]]:
        """Send a request, and wait for all that is said to it.

        Args:
            message: the request's number.
            until: the moment when the last of it has to be there.

        Yields:
            Lists of entries.
        """
        with contextlib.suppress(BlockingIOError):
            while octets := self._near.recv(PIECE):
                self._stream.settimeout(seconds_to(until))
                self._stream.sendall(octets)
        while True:
            kind, entries, _, _ = self._ldap.result3(message, all=0, timeout=0)
            if kind in LAST:
                return
            if kind in MORE:
                yield entries
            elif kind is None:
                self._stream.settimeout(seconds_to(until))
                if not (octets := self._stream.recv(PIECE)):
                    raise OSError("it has closed the connection")
                self._near.sendall(octets)


def connect(server: Server, until: float) -> socket.socket:
    """Connect to a server: to the first of its addresses that answers.

    Raises:
        OSError: none does.
        net.ConnectFailed: its name is not known.
    """
    if server.path:
        return connected(socket.AF_UNIX, server.path, until)
    addresses = net.resolve(server.host, server.port, seconds_to(until))
    for number, (family, address) in enumerate(addresses):
        left = len(addresses) - number
        try:
            sock = connected(family, address, share(until, left))
        except OSError:
            if left == 1:
                raise
        else:
            # For waiting without a limit.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            return sock
    raise OSError("no address")


def connected(family: int, address: Any, until: float) -> socket.socket:
    """A socket that is connected to an address."""
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.settimeout(seconds_to(until))
        sock.connect(address)
    except BaseException:
        sock.close()
        raise
    return sock


def share(until: float, attempts: int) -> float:
    """The moment when the first of several attempts, which share the time left, is over."""
    if until == math.inf:
        return until
    now = time.monotonic()
    return now + (until - now) / attempts


def seconds_to(until: float) -> float | None:
    """The seconds to a moment, None for no limit.

    Raises:
        TimeoutError: it is over.
    """
    if until == math.inf:
        return None
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError("timed out")
    return left
