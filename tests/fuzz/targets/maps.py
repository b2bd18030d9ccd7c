"""What maps hold, what their options say, and what servers of maps answer."""

import contextlib
import socket
import struct
from collections.abc import Iterator
from typing import Any

from fuzz.target import Choices, Target
from perdition.identity import Ends
from perdition.maps import (
    MOST_DESTINATIONS,
    Answer,
    MapFailed,
    Query,
    Refusal,
    check_item,
    daemon,
    ldap_url,
    read_value,
    redis_store,
    sql_options,
    words,
)
from perdition.maps.auth_http import Connection, Pool, Service, read_field
from perdition.maps.auth_http import read_url as read_http_url
from perdition.maps.auth_protocol import request_fields
from perdition.maps.cdb import INDEX_SIZE, PAIR, TABLES, Records, hash_of
from perdition.maps.deadlines import Socket, limited
from perdition.maps.files import BrokenFile
from perdition.maps.servers import ServerFailed
from perdition.net import BadItem, is_address, parse_item
from perdition.protocols import decode, encode

DELIMITERS = ("@", "%", "--", ",")
SECRET = "f1sh"


def text(data: bytes) -> str:
    return decode(data)


def check_answer(answer: Answer) -> None:
    """Destinations that a socket and a log can be given."""
    assert len(answer.destinations) <= MOST_DESTINATIONS
    for item in answer.destinations:
        check_item(item, "")
        assert not set("\0\r\n") & set("".join(item[:3]))
    assert repr(answer) == repr(answer._replace(password=b"another"))


def value(data: bytes) -> None:
    """What is read, written again as one would, is the same."""
    choices = Choices(data)
    delimiter = DELIMITERS[choices.octet() % len(DELIMITERS)]
    answer = read_value(choices.rest, delimiter)
    check_answer(answer)
    for item in answer.destinations:
        host = f"[{item.host}]" if is_address(item.host) and ":" in item.host else item.host
        user = item.user + delimiter if item.user or delimiter in item.host else ""
        written = f"{user}{host}:{item.port}" if item.port or not item.host else f"{user}{host}"
        is_plain = "," not in written and delimiter not in host and (":" not in host or "[" in host)
        if host and is_plain:
            (again,) = read_value(encode(written), delimiter).destinations
            assert again[:3] == item[:3]


def item(data: bytes) -> None:
    choices = Choices(data)
    delimiter = DELIMITERS[choices.octet() % len(DELIMITERS)]
    parse_item(text(choices.rest), delimiter, "143")


def daemon_answer(data: bytes) -> None:
    item = daemon.read_response(data)
    check_answer(Answer([item]))
    strings = b"".join(len(encode(each)).to_bytes(2) + encode(each) for each in item[:3])
    head = daemon.HEADER.pack(
        daemon.MAGIC, 1, daemon.RESPONSE, daemon.HEADER.size + len(strings), 0, 0, 0, 0, 0
    )
    assert daemon.read_response(head + strings) == item


def daemon_query(data: bytes) -> None:
    """A key is one string of a query, whatever it has in it."""
    choices = Choices(data)
    ends = Ends("::1", 1, "192.0.2.1", 2) if choices.flag() else Ends("192.0.2.1", 1, "", 2)
    packet = daemon.request(Query(choices.rest, ends), b"@")
    assert packet is not None
    strings = daemon.read_strings(packet[daemon.HEADER.size :])
    assert strings[:2] == [choices.rest, b"@"]
    assert len(packet) == daemon.HEADER.unpack_from(packet)[3]


def options(data: bytes) -> None:
    """Options of maps on servers; what is wrong is said without showing a URL."""
    choices = Choices(data)
    kind = choices.octet() % 6
    option = text(choices.rest)
    match kind:
        case 0:
            said = words.split(option, ("redis", "unix"), ("key", "hash", "ca"))
            assert said.urls
        case 1:
            read_http_url(1, option)
        case 2:
            redis_store.read_url(1, option)
        case 3:
            read_field(option)
        case 4:
            sql_options.read_access(option, "popmap")
        case _:
            sql_options.read_places(option)


def ldap_option(data: bytes) -> None:
    directory = ldap_url.read_option(text(data))
    assert directory.servers
    assert SECRET not in repr(directory) or SECRET not in directory.password


def ldap_key(data: bytes) -> None:
    """A key stays one value in names and in filters."""
    filled = ldap_url.Template(f"(uid={ldap_url.MARK}20{ldap_url.MARK})").fill(data)
    inside = filled.removeprefix("(uid=").removesuffix(")")
    assert not set('()*\0,+"<>;=# ') & set(inside)
    octets = b"".join(
        bytes.fromhex(part[:2]) + part[2:].encode() if number else part.encode()
        for number, part in enumerate(inside.split("\\"))
    )
    assert octets == data.rjust(20)


class Asking(Socket):
    """A socket whose other end says something when it has been asked, and nothing more."""

    peer: socket.socket
    answer: bytes

    def sendall(self, *arguments: Any) -> None:
        super().sendall(*arguments)
        if self.answer:
            self.peer.sendall(self.answer)
            self.peer.shutdown(socket.SHUT_WR)
            self.answer = b""


@contextlib.contextmanager
def heard(octets: bytes) -> Iterator[Socket]:
    """A socket whose other end answers with these octets."""
    ours, theirs = socket.socketpair()
    with theirs, Asking(fileno=ours.detach()) as sock:
        sock.peer, sock.answer = theirs, octets or b"\n"
        yield sock


class OneAnswer(redis_store.Server):
    """A server of Redis whose connection is there already."""

    def __init__(self, sock: Socket) -> None:
        self._sockets = [sock]
        super().__init__(1, "redis://host", "", 1)

    def _open_socket(self) -> socket.socket:
        if not self._sockets:
            raise ConnectionRefusedError(111, "refused")
        return self._sockets.pop()


def redis_answer(data: bytes) -> None:
    choices = Choices(data)
    wants_fields = choices.flag()
    with heard(choices.rest) as sock, limited(5):
        server = OneAnswer(sock)
        try:
            if wants_fields:
                assert len(server.fields(b"ann", ("a", "b", "c"))) == 3
            else:
                found = server.string(b"ann")
                assert found is None or isinstance(found, bytes)
        finally:
            server._client.connection_pool.disconnect()


class ThisConnection(Connection):
    """A connection that is there already."""

    sockets: list[Socket]

    def _new_conn(self) -> socket.socket:
        if not self.sockets:
            raise ServerFailed("refused")
        return self.sockets.pop()


def http_answer(data: bytes) -> None:
    """An answer of a service that lets users in."""
    with heard(data) as sock, limited(5):
        connection = type("Connection", (ThisConnection,), {"sockets": [sock]})
        pool = type("Pool", (Pool,), {"ConnectionCls": connection})
        service = Service(1, "http://host/auth", {}, "", 1)
        service._pool = pool("host", 80, maxsize=1, context=None)
        try:
            answer = service.ask(request_fields(Query(b"ann", password=b"sesame")))
        finally:
            service._pool.close()
        if isinstance(answer, Refusal):
            assert len(answer.reason) < 200
        else:
            check_answer(answer)
            assert not set(b"\0\r\n") & set(answer.password or b"")


def http_query(data: bytes) -> None:
    """No name or password makes another header."""
    choices = Choices(data)
    fields = request_fields(Query(choices.word(), password=choices.rest))
    for each in fields.values():
        assert not set("\0\r\n") & set(each.encode("latin-1").decode("latin-1"))


def cdb_file(data: bytes) -> None:
    """A file of which the index is written by a few octets, and the rest stands behind it."""
    choices = Choices(data)
    key, table, slots = choices.word(), choices.octet(), choices.octet()
    index = [(INDEX_SIZE + table, 0)] * TABLES
    index[hash_of(key) % TABLES] = (INDEX_SIZE + table, slots)
    head = b"".join(PAIR.pack(*each) for each in index)
    found = Records(head + choices.rest).lookup(key)
    assert found is None or found in choices.rest


def cdb_octets(data: bytes) -> None:
    Records(data.ljust(INDEX_SIZE, b"\0")).lookup(data[:3])


def http(headers: bytes) -> bytes:
    return b"HTTP/1.0 200 OK\r\n" + headers + b"\r\n\r\n"


def record(key: bytes, found: bytes) -> bytes:
    """A file of one record, for cdb_file."""
    body = PAIR.pack(len(key), len(found)) + key + found
    table = PAIR.pack(hash_of(key), INDEX_SIZE)
    return bytes([len(key)]) + key + bytes([len(body), 1]) + body + table


DAEMON = struct.pack(">IHHHHIIHH", daemon.MAGIC, 1, 2, 41, 0, 0, 0, 0, 0)
FAILED = (MapFailed,)
TARGETS = [
    Target("map-value", value, FAILED, [b"\0bob@mail1:143,[::1]:1,::2", b"\2a--b:imap"]),
    Target("map-item", item, (BadItem,), [b"\0bob@[2001:db8::1]:143", b"\x012001:db8::1:1"]),
    Target("daemon-answer", daemon_answer, FAILED, [DAEMON + b"\0\3ann\0\5mail1\0\x03143"]),
    Target("daemon-query", daemon_query, (), [b"\0ann", b"\1ann@\0\xff"]),
    Target(
        "map-options",
        options,
        FAILED,
        [
            b"\0redis://:f1sh@host 'key=a %s' hash=a,b,c",
            b"\1http://a:b@host:80/x?y=z",
            b"\2unix://:f1sh@/run/x?db=2",
            b"\3X-Key: abc",
            b"\4a,b:3306:db:t:u:f1sh:s:u:p",
            b"\5sqlite:////x table=t query=select 1",
        ],
    ),
    Target(
        "ldap-option",
        ldap_option,
        FAILED,
        [b"3:ldap://h:389/ou=x?a,b?sub?(uid=%20s)?bindname=cn=x,X-BINDPW=f1sh", b"ldapi://%2Fx/"],
    ),
    Target("ldap-key", ldap_key, (), [b"ann", b"a*)(uid=\\\0"]),
    Target(
        "redis-answer",
        redis_answer,
        (*FAILED, ServerFailed),
        [
            b"\0$5\r\nmail1\r\n",
            b"\1*3\r\n$1\r\na\r\n$-1\r\n$0\r\n\r\n",
            b"\0-WRONGTYPE no\r\n",
            b"\0*-1\r\n",
            b"\0:12\r\n",
        ],
        cost=10,
    ),
    Target(
        "http-answer",
        http_answer,
        (*FAILED, ServerFailed),
        [
            http(b"Auth-Status: OK\r\nAuth-Server: 192.0.2.1\r\nAuth-Port: 143\r\nAuth-Pass: x"),
            http(b"Auth-Status: no such user\r\nAuth-Wait: 3"),
            b"HTTP/1.1 403 no\r\nTransfer-Encoding: chunked\r\nAuth-Status: x\r\n\r\n1\r\na\r\n0\r\n\r\n",
        ],
        cost=8,
    ),
    Target("http-query", http_query, (), [b"\3annsesame", b"\4a\r\nbc\0%"]),
    Target("cdb", cdb_file, (BrokenFile,), [record(b"ann", b"mail1"), record(b"", b"")]),
    Target("cdb-octets", cdb_octets, (BrokenFile,), [b"", struct.pack("<LL", INDEX_SIZE, 0) * 256]),
]
