"""http: a service that lets users in or refuses them, as nginx's mail proxy has one.

What is said is auth_protocol's. Here is how it gets there.
"""

import re
import socket
import ssl
from base64 import b64encode
from collections.abc import Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

from urllib3 import HTTPConnectionPool
from urllib3.connection import HTTPConnection
from urllib3.exceptions import ClosedPoolError, HTTPError, ProtocolError
from urllib3.exceptions import TimeoutError as Urllib3TimeoutError
from urllib3.util import SKIP_HEADER, Url, parse_url

from perdition.maps import (
    CONTROL,
    Answer,
    Found,
    MapFailed,
    MapSettings,
    Query,
    Refusal,
    deadlines,
    words,
)
from perdition.maps.auth_protocol import as_field, read_answer, request_fields
from perdition.maps.servers import ServerFailed, Servers
from perdition.protocols import encode

if TYPE_CHECKING:
    from urllib3 import HTTPHeaderDict

SCHEMES = {"http": 80, "https": 443}
SETTINGS = ("header", "ca")
# RFC 9110 sections 5.1 and 5.5.
FIELD = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*)")
# What nginx does not send either; the libraries would.
UNSENT = {"User-Agent": SKIP_HEADER, "Accept-Encoding": SKIP_HEADER}
# What comes after the headers is of no use. A connection with more of it is given up, and one
# where it takes longer than so many seconds.
BODY_LIMIT = 1 << 16
BODY_SECONDS = 1


class AuthHttp:
    """The service at a URL, or at several of them."""

    by_key_alone = False

    def __init__(self, option: str, settings: MapSettings) -> None:
        """Take the option apart.

        Args:
            option: URLs, ``header=NAME:VALUE`` for what each request has, ``ca=FILE`` for the
                authorities of https.
            settings: what all maps are told.

        Raises:
            MapFailed: it is wrong.
        """
        said = words.split(option, SCHEMES, SETTINGS)
        fields = dict(read_field(value) for name, value in said.settings if name == "header")
        self._servers = Servers(
            [
                Service(number, url, fields, said.one("ca"), settings.connections)
                for number, url in enumerate(said.urls, 1)
            ],
            settings,
        )

    def lookup(self, query: Query, /) -> Found:
        """What the service says of a log-in.

        Raises:
            MapFailed: it cannot be asked, or its answer is nonsense.
        """
        fields = request_fields(query)
        try:
            return self._servers.ask(lambda service: service.ask(fields))
        except MapFailed as error:
            raise MapFailed(f"http: {error}") from error

    def close(self) -> None:
        for service in self._servers:
            service.close()


def read_field(text: str) -> tuple[str, str]:
    """Name and value of a header that the operator wants.

    Raises:
        MapFailed: it is none.
    """
    found = FIELD.fullmatch(text)
    if found is None:
        raise MapFailed("map_library_opt: header= needs NAME:VALUE, in quotes if there are blanks")
    return found[1], as_field(encode(found[2]))


class Connection(HTTPConnection):
    """A connection whose socket keeps to the time of the look-up, with TLS or without.

    To the library it is one without: its releases differ in what they ask of a context.
    """

    def __init__(self, *arguments: Any, context: ssl.SSLContext | None, **rest: Any) -> None:
        """Prepare it.

        Args:
            *arguments: what the library wants.
            context: for TLS; None for none.
            **rest: what the library wants.
        """
        super().__init__(*arguments, **rest)
        self._context = context

    def _new_conn(self) -> socket.socket:
        """Connect.

        Raises:
            ServerFailed: it cannot be. It is no exception of the library's: this passes through.
        """
        try:
            return deadlines.connect(self.host.strip("[]"), str(self.port), self._context)
        except OSError as error:
            raise ServerFailed(deadlines.reason(error)) from error


class Pool(HTTPConnectionPool):
    """Such connections."""

    ConnectionCls = Connection


class Service:
    """The service at one URL; as a text, its scheme, host and port."""

    def __init__(
        self, number: int, url: str, fields: Mapping[str, str], ca: str, connections: int
    ) -> None:
        """Take the URL apart.

        Args:
            number: of the URL, for messages.
            url: with user and password, perhaps, for the Basic scheme (RFC 7617).
            fields: headers for each request.
            ca: a file of authorities' certificates.
            connections: most of them that are kept.

        Raises:
            MapFailed: it is wrong.
        """
        parts = read_url(number, url)
        self._host = parts.host or ""
        self._port = parts.port or SCHEMES[parts.scheme or ""]
        self._name = f"{parts.scheme}://{self._host}:{self._port}"
        self._path = parts.request_uri
        self._connections = connections
        # Without port, as in nginx's requests.
        self._first = {"Host": self._host}
        self._last = dict(UNSENT)
        if parts.auth:
            basic = b64encode(unquote_to_bytes(parts.auth)).decode("ascii")
            self._last["Authorization"] = f"Basic {basic}"
        for name, value in fields.items():
            if name.lower() == "host":
                self._first["Host"] = value
            else:
                self._last[name] = value
        self._context: ssl.SSLContext | None = None
        if parts.scheme == "https":
            self._context = deadlines.tls_context(ca)
        self._pool = self._new_pool()

    def __str__(self) -> str:
        return self._name

    def ask(self, fields: Mapping[str, str]) -> Answer | Refusal:
        """Have a log-in judged.

        Raises:
            ServerFailed: another server may do better.
            MapFailed: the answer is nonsense.
        """
        status, answer = self._get(fields)
        try:
            return read_answer(status, answer)
        except MapFailed as error:
            raise MapFailed(f"{self}: {error}") from error

    def close(self) -> None:
        """Close the connections; those in use when they are not any more."""
        old, self._pool = self._pool, self._new_pool()
        old.close()

    def _new_pool(self) -> HTTPConnectionPool:
        """Connections, of which none is made yet."""
        return Pool(self._host, self._port, maxsize=self._connections, context=self._context)

    def _get(self, fields: Mapping[str, str]) -> tuple[int, "HTTPHeaderDict"]:
        """Status and headers of the answer to a request.

        Raises:
            ServerFailed: there is no answer, or none in time.
        """
        everything = {**self._first, **fields, **self._last}
        try:
            try:
                return self._get_once(everything)
            except (ClosedPoolError, ProtocolError) as error:
                # A connection of before may have been closed just now: once more, with another.
                if isinstance(error, ProtocolError) and not isinstance(
                    cause(error), ConnectionError
                ):
                    raise
                return self._get_once(everything)
        except HTTPError as error:
            raise ServerFailed(reason(error)) from error

    def _get_once(self, fields: Mapping[str, str]) -> tuple[int, "HTTPHeaderDict"]:
        response = self._pool.urlopen(
            "GET", self._path, headers=fields, retries=False, redirect=False, preload_content=False
        )
        try:
            if response.status < HTTPStatus.OK:
                # No answer yet (RFC 9110 section 15.2), but the library takes it for one: what
                # follows would be taken for the next one's.
                response.close()
            with deadlines.limited(BODY_SECONDS):
                if len(response.read(BODY_LIMIT + 1, decode_content=False)) > BODY_LIMIT:
                    response.close()
        except (HTTPError, OSError, ValueError):
            # All that counts has come before.
            response.close()
        finally:
            response.release_conn()
        return response.status, response.headers


def read_url(number: int, url: str) -> Url:
    """Take a URL apart.

    Args:
        number: of the URL, for the message: it may have a password in it.
        url: the text.

    Raises:
        MapFailed: it is wrong.
    """
    wrong = MapFailed(
        f"map_library_opt: URL {number} is not http[s]://[USER:PASSWORD@]HOST[:PORT]/PATH"
    )
    if CONTROL.search(url):
        raise wrong
    try:
        parts = parse_url(url)
    except HTTPError:
        raise wrong from None
    if not parts.host:
        raise wrong
    return parts


def cause(error: HTTPError) -> BaseException:
    """What the library has wrapped into one of its exceptions."""
    return next((each for each in error.args if isinstance(each, BaseException)), error)


def reason(error: HTTPError) -> str:
    """Why there is no answer; nothing of what was said, which may have been repeated to us."""
    inner = cause(error)
    if isinstance(error, Urllib3TimeoutError):
        return "timed out"
    if isinstance(inner, OSError):
        return deadlines.reason(inner)
    return f"what came is no answer of HTTP ({type(inner).__name__})"
