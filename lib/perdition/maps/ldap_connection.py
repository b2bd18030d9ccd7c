"""A connection to an LDAP server.

libldap writes and reads the messages. The network it does not see: it has one end of a pair of
sockets, and what goes through that is carried to the server and back here. By itself it would wait
without end for a server that falls silent during a TLS handshake (OpenLDAP 2.5 with GnuTLS), look a
host up with as many limits as that has addresses, and connect again on its own account.
"""

import contextlib
import os
import socket
import ssl
from collections.abc import Iterator
from typing import Any, NamedTuple

import ldap
from ldap.extop import ExtendedRequest

from perdition.certificates import matches, names_of
from perdition.maps.deadlines import Socket, connect_plain, connected
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
# Others that a server refers to in one answer.
MOST_PLACES = 16
# What can go wrong with a server; UnicodeError: what it says is not LDAP.
TROUBLE = (OSError, ldap.LDAPError, UnicodeError)


class Entry(NamedTuple):
    """An entry of the directory.

    Attributes:
        name: its distinguished name.
        attributes: the values of each attribute that was asked for.
    """

    name: str
    attributes: dict[str, list[bytes]]


class Search(NamedTuple):
    """What is looked for.

    Attributes:
        base: the name of the entry to start at.
        scope: how far down, as python-ldap has it.
        wanted: the filter.
    """

    base: str
    scope: int
    wanted: str


class Found(NamedTuple):
    """What a server says.

    Attributes:
        entries: at most MOST_ENTRIES.
        places: others to be asked, each by its URLs, of which one is enough.
        has_base: whether there is an entry to start at.
    """

    entries: list[Entry]
    places: list[list[str]]
    has_base: bool = True


class NotAName(Exception):
    """What was to be the name of an entry is none."""


class Connection:
    """A connection, bound. It is for one thread at a time, and each of its waits ends in time.

    After any exception but NotAName it is of no use.
    """

    def __init__(self, server: Server, directory: Directory) -> None:
        """Connect and bind.

        Args:
            server: one of the directory's.
            directory: how.

        Raises:
            OSError: it cannot be reached, is silent, or there is no TLS with it.
            ldap.LDAPError: it does not want that.
        """
        self._host = server.host or "localhost"
        self._directory = directory
        with contextlib.ExitStack() as opened:
            self._stream: socket.socket = opened.enter_context(connect(server))
            self._near, self._far = map(opened.enter_context, socket.socketpair())
            # Else the library would wait for the rest of a message's head, which only we can bring.
            for end in (self._near, self._far):
                end.setblocking(False)
            self._ldap = ldap.initialize(NOWHERE, fileno=os.dup(self._far.fileno()))
            opened.callback(self.close)
            self._begin()
            opened.pop_all()

    def _begin(self) -> None:
        directory = self._directory
        self._ldap.set_option(ldap.OPT_REFERRALS, 0)
        self._ldap.protocol_version = directory.version
        if directory.start_tls:
            self._finish(self._ldap.extop(ExtendedRequest(START_TLS, None)))
            self._check_nothing_is_left()
        if directory.tls is not None:
            self._start_tls(directory.tls)
        self._finish(self._ldap.simple_bind(directory.bind_name, directory.password))

    def _check_nothing_is_left(self) -> None:
        """What came before TLS must not be taken for something that came under it."""
        with contextlib.suppress(BlockingIOError):
            self._far.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
            raise OSError("it has said more than it was asked before TLS")

    def _start_tls(self, context: ssl.SSLContext) -> None:
        self._stream = stream = context.wrap_socket(self._stream, server_hostname=self._host)
        info = stream.getpeercert()
        # It is empty where nobody wants it checked.
        if info and not matches(self._host, info):
            names = ", ".join(names_of(info))
            raise OSError(f"its certificate is for {names}, not for {self._host}")

    def close(self) -> None:
        """Say good-bye, without waiting for anything, and close."""
        with contextlib.suppress(OSError, ldap.LDAPError):
            self._ldap.unbind_ext_s()
            self._stream.settimeout(0)
            self._stream.sendall(self._near.recv(PIECE))
        for sock in (self._near, self._far, self._stream):
            sock.close()

    def search(self, search: Search) -> Found:
        """Look for entries.

        Raises:
            NotAName: what was to be the base is none.
            ldap.LDAPError: the server does not want that, or says nonsense.
            OSError: it is silent or gone.
            UnicodeError: a name in its answer is not UTF-8.
        """
        message = self._ldap.search_ext(*search, self._directory.attributes, sizelimit=MOST_ENTRIES)
        found: list[Entry] = []
        places: list[list[str]] = []
        try:
            for messages in self._results(message):
                # A reference has no name.
                found += [Entry(*each) for each in messages if each[0] is not None]
                places += [each[1] for each in messages if each[0] is None]
                del found[MOST_ENTRIES:], places[MOST_PLACES + 1 :]
        except ldap.SIZELIMIT_EXCEEDED:
            pass
        except ldap.NO_SUCH_OBJECT:
            return Found([], [], has_base=False)
        except ldap.REFERRAL as error:
            return Found([], [referred(error)])
        except ldap.INVALID_DN_SYNTAX as error:
            raise NotAName(f"not a distinguished name: {search.base}") from error
        return Found(found, places)

    def _finish(self, message: int) -> None:
        """Wait for the answer to a request that has just one."""
        for _ in self._results(message):
            pass

    def _results(self, message: int) -> Iterator[list[Any]]:
        """Send a request, and wait for all that is said to it.

        Args:
            message: the request's number.

        Yields:
            Lists of entries.
        """
        with contextlib.suppress(BlockingIOError):
            while octets := self._near.recv(PIECE):
                self._stream.sendall(octets)
        while True:
            kind, entries, _, _ = self._ldap.result3(message, all=0, timeout=0)
            if kind in LAST:
                return
            if kind in MORE:
                yield entries
            elif kind is None:
                if not (octets := self._stream.recv(PIECE)):
                    raise OSError("it has closed the connection")
                self._near.sendall(octets)


def referred(error: ldap.REFERRAL) -> list[str]:
    """The URL of a referral in the place of an answer: of several, python-ldap has the first."""
    told = error.args[0] if error.args and isinstance(error.args[0], dict) else {}
    return str(told.get("info", "")).split()[1:]


def connect(server: Server) -> Socket:
    """Connect to a server: to the first of its addresses that answers.

    Raises:
        OSError: none does, or its name is not known.
    """
    if server.path:
        return connected(socket.AF_UNIX, server.path)
    return connect_plain(server.host, server.port)


def why(error: Exception) -> str:
    """What has gone wrong, in one line."""
    match error:
        case ldap.LDAPError():
            told = error.args[0] if error.args and isinstance(error.args[0], dict) else {}
            parts = [told.get("desc") or type(error).__name__, told.get("info") or ""]
            text = ": ".join(filter(None, parts))
        case TimeoutError():
            text = "no answer in time"
        case ssl.SSLCertVerificationError():
            text = f"its certificate: {error.verify_message}"
        case _:
            text = getattr(error, "strerror", "") or str(error)
    return " ".join(text.split())
