"""redis: a server that speaks the protocol of Redis, such as Redis or Valkey."""

import inspect
import socket
import ssl
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import parse_qs, urlsplit

import redis
from redis.connection import parse_url

from perdition.maps import (
    CONTROL,
    Answer,
    MapFailed,
    MapSettings,
    Query,
    check_item,
    deadlines,
    read_value,
    shown,
    words,
)
from perdition.maps.servers import ServerFailed, Servers
from perdition.net import ServerItem
from perdition.protocols import decode, encode

# Valkey's own names for the first two are among them.
SCHEMES = ("redis", "rediss", "unix", "valkey", "valkeys")
SETTINGS = ("key", "hash", "ca")
PORT = 6379
KEY = "%s"
# Names of the fields, by position: user, server, port.
HASH = "user,server,port"
FIELDS = 3
# For releases of the library that know of these: not RESP3, which Redis has since 6, and nothing
# about the library itself, which would be looked for in its files each time, and said.
PLAINLY = {"protocol": 2, "driver_info": None}


class Redis:
    """What the keys of a server hold: strings, or hashes where `hash` is set."""

    by_key_alone = True

    def __init__(self, option: str, settings: MapSettings) -> None:
        """Take the option apart.

        Args:
            option: URLs as redis-py has them, ``key=`` with ``%s`` for what is looked up,
                ``hash=`` for names of fields, ``ca=`` for the authorities of TLS.
            settings: what all maps are told.

        Raises:
            MapFailed: it is wrong.
        """
        said = words.split(option, SCHEMES, SETTINGS)
        names = [name for name, _ in said.settings]
        before, found, after = said.one("key", KEY).partition("%s")
        if not found or KEY in after:
            raise MapFailed("map_library_opt: key= needs one %s for the name that is looked up")
        self._before, self._after = encode(before), encode(after)
        self._fields = read_fields(said.one("hash") or HASH) if "hash" in names else ()
        self._delimiter = settings.delimiter
        self._servers = Servers(
            [
                Server(number, url, said.one("ca"), settings.connections)
                for number, url in enumerate(map(as_redis, said.urls), 1)
            ],
            settings,
        )

    def lookup(self, query: Query, /) -> bytes | Answer | None:
        """What a key holds.

        Raises:
            MapFailed: no server can be asked, or what it holds is nonsense.
        """
        key = self._before + query.key + self._after
        try:
            if self._fields:
                return self._read(
                    self._servers.ask(lambda server: server.fields(key, self._fields))
                )
            return self._servers.ask(lambda server: server.string(key))
        except MapFailed as error:
            raise MapFailed(f"redis: {error}") from error

    def _read(self, found: Sequence[bytes | None]) -> Answer | None:
        """The destinations in the fields user, server and port.

        The one of the server may hold what a string may, with the port of the other field for
        those that have none, and its user for all of them.
        """
        if not any(each is not None for each in found):
            return None
        user, server, port = (decode(each or b"") for each in found)
        given = read_value(encode(server), self._delimiter, port).destinations
        items = given or [ServerItem("", "", port)]
        if user:
            items = [item._replace(user=user) for item in items]
        for item in items:
            check_item(item, str(item))
        return Answer(items)

    def close(self) -> None:
        for server in self._servers:
            server.close()


def read_fields(text: str) -> tuple[str, ...]:
    """The names of three fields, with commas between.

    Raises:
        MapFailed: they are not three.
    """
    names = tuple(text.split(","))
    if len(names) != FIELDS or not all(names):
        raise MapFailed("map_library_opt: hash= needs the names of three fields: USER,SERVER,PORT")
    return names


class Link(redis.Connection):
    """A connection whose socket keeps to the time of the look-up."""

    def __init__(self, *, open_socket: Callable[[], socket.socket], **rest: Any) -> None:
        """Prepare it.

        Args:
            open_socket: makes a socket that is connected.
            rest: what the library wants.
        """
        super().__init__(**rest)  # type: ignore[no-untyped-call]
        self._open_socket = open_socket

    def _connect(self) -> socket.socket:
        """Connect.

        Raises:
            ServerFailed: it cannot be. It is no exception of the library's: this passes through.
        """
        try:
            return self._open_socket()
        except OSError as error:
            raise ServerFailed(deadlines.reason(error)) from error


class Server:
    """One server; as a text, its place without name and password."""

    def __init__(self, number: int, url: str, ca: str, connections: int) -> None:
        """Take the URL apart.

        Args:
            number: of the URL, for messages.
            url: its text.
            ca: a file of authorities' certificates.
            connections: most of them that are kept.

        Raises:
            MapFailed: it is wrong.
        """
        parts = read_url(number, url)
        self._host, self._port = parts.get("host", "localhost"), parts.get("port", PORT)
        self._path = parts.get("path", "")
        scheme = urlsplit(url).scheme
        self._name = f"unix:{self._path}" if self._path else f"{scheme}://{self._host}:{self._port}"
        self._context: ssl.SSLContext | None = None
        if scheme == "rediss":
            self._context = deadlines.tls_context(ca)
        about: dict[str, Any] = {
            name: parts[name] for name in ("username", "password", "db") if name in parts
        }
        known = inspect.signature(getattr(redis.connection, "AbstractConnection", redis.Connection))
        about |= {name: value for name, value in PLAINLY.items() if name in known.parameters}
        pool = redis.ConnectionPool(
            connection_class=Link,
            max_connections=connections,
            open_socket=self._open_socket,
            **about,
        )
        self._client = redis.Redis(connection_pool=pool)

    def __str__(self) -> str:
        return self._name

    def string(self, key: bytes) -> bytes | None:
        """The string that a key holds; None where there is no such key.

        Raises:
            ServerFailed: another server may do better.
            MapFailed: the key holds something else.
        """
        (found,) = self._ask(
            lambda: [self._client.get(key)],
            1,
            "the key holds no string; for a hash, map_library_opt has to have the word hash",
        )
        return found

    def fields(self, key: bytes, names: Sequence[str]) -> list[bytes | None]:
        """What these fields of a hash hold; None for those that are not there.

        Raises:
            ServerFailed: another server may do better.
            MapFailed: the key holds something else.
        """
        return self._ask(
            lambda: self._client.hmget(key, list(names)),
            len(names),
            "the key holds no hash; for a string, leave the word hash out of map_library_opt",
        )

    def close(self) -> None:
        """Close the connections that nobody uses."""
        self._client.connection_pool.disconnect(inuse_connections=False)

    def _ask(self, command: Callable[[], Any], size: int, mistaken: str) -> list[bytes | None]:
        """Have the client do something that gives so many strings.

        Args:
            command: does it.
            size: how many.
            mistaken: what is wrong where the key holds something else.

        Raises:
            ServerFailed: another server may do better.
            MapFailed: the key holds something else.
        """
        try:
            found = self._try_twice(command)
        except redis.TimeoutError as error:
            raise ServerFailed("timed out") from error
        except redis.ResponseError as error:
            if str(error).startswith("WRONGTYPE"):
                raise MapFailed(f"{self}: {mistaken}: {error}") from error
            raise ServerFailed(shown(str(error))) from error
        except redis.ConnectionError as error:
            raise ServerFailed(reason(error)) from error
        except (redis.RedisError, ValueError, RecursionError) as error:
            # Not shown: who knows what has been repeated to us.
            raise ServerFailed(
                f"what came is no answer of Redis ({type(error).__name__})"
            ) from error
        is_list = isinstance(found, list) and len(found) == size
        if not is_list or not all(each is None or isinstance(each, bytes) for each in found):
            raise ServerFailed("what came is no answer of Redis")
        return found  # type: ignore[no-any-return]

    @staticmethod
    def _try_twice(command: Callable[[], Any]) -> Any:
        """Do it once more if a connection of before has been closed just now, with another."""
        try:
            return command()
        except redis.AuthenticationError:
            raise
        except redis.ConnectionError:
            return command()

    def _open_socket(self) -> socket.socket:
        """A connected socket.

        Raises:
            OSError: it cannot be had in time.
        """
        if self._path:
            return deadlines.connected(socket.AF_UNIX, self._path)
        return deadlines.connect(self._host, str(self._port), self._context)


def reason(error: redis.ConnectionError) -> str:
    """Why there is no connection any more."""
    inner = error.__context__
    return deadlines.reason(inner) if isinstance(inner, OSError) else shown(str(error))


def as_redis(url: str) -> str:
    """A URL with a scheme as redis-py has it: in small letters, and Redis's for that of Valkey."""
    scheme, colon, rest = url.partition(":")
    return scheme.lower().replace("valkey", "redis") + colon + rest


def read_url(number: int, url: str) -> dict[str, Any]:
    """Take a URL apart.

    Args:
        number: of the URL, for the message: it may have a password in it.
        url: as redis-py has it.

    Returns:
        What there is of username, password, host, port, db and path.

    Raises:
        MapFailed: it is wrong.
    """
    wrong = MapFailed(
        f"map_library_opt: URL {number} is none of redis://[[USER]:PASSWORD@]HOST[:PORT][/DB], "
        "rediss://... and unix://[[USER]:PASSWORD@]/PATH[?db=DB]"
    )
    try:
        parts: dict[str, Any] = parse_url(url)  # type: ignore[no-untyped-call]
        split = urlsplit(url)
    except ValueError:
        raise wrong from None
    database = split.path.strip("/")
    is_wrong = (
        CONTROL.search(url)
        or set(parse_qs(split.query, keep_blank_values=True)) - {"db"}
        or (split.scheme == "unix" and (split.hostname or not parts.get("path")))
        or (split.scheme != "unix" and database and not database.isdecimal())
    )
    if is_wrong:
        raise wrong
    return parts
